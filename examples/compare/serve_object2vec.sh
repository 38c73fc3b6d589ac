# SPDX-License-Identifier: Apache-2.0
# Train on raw texts and serve them; to be asked with
# curl -H 'Content-Type: application/json' http://127.0.0.1:8080/invocations -d '{"instances": [{"in0": "Two dogs run."}]}'
object2vec train --train pairs.csv --in0 sentence1 --in1 sentence2 --label gold_label --tied \
    --model-dir model -p enc0_network=pooled_embedding -p enc1_network=pooled_embedding \
    -p enc_dim=100 -p comparator_list=hadamard,abs_diff -p mlp_layers=0 -p learning_rate=0.003 \
    -p mini_batch_size=64 -p epochs=2
exec object2vec serve --model-dir model --port "${PORT:-8080}"
