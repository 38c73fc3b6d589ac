# SPDX-License-Identifier: Apache-2.0
"""What SageMaker defines: /opt/ml and the JSON of its API."""
