# SPDX-License-Identifier: Apache-2.0
"""Which parameters a network has, and of what shapes, told by its hyperparameters alone."""

from __future__ import annotations

from object2vec.hyperparameters.checked import EncoderHyperparameters, Hyperparameters

Shapes = dict[str, tuple[int, ...]]
_COMPARED = {"hadamard": 1, "concat": 2, "abs_diff": 1}  # in multiples of enc_dim
#: The names that token tables can have: of in0, of in1, of both.
TABLES = ("embed_0_weight", "embed_1_weight", "embed_shared_weight")


def parameter_shapes(hyperparameters: Hyperparameters) -> Shapes:
    """Names and shapes of all parameters, in the order of `Object2VecNetwork.params`.

    They are known here without MXNet, so that a file that does not fit is refused before a network
    takes memory; a test holds them equal to those of the network.
    """
    prefixes = encoder_prefixes(hyperparameters)
    shapes: Shapes = {
        name: (encoder.vocab_size, encoder.token_embedding_dim)
        for name, encoder in zip(table_names(hyperparameters), hyperparameters.encoders)
    }
    for prefix, encoder in zip(dict.fromkeys(prefixes), hyperparameters.encoders):
        if encoder.network == "hcnn":
            shapes.update(_convolutions(prefix, encoder, hyperparameters.enc_dim))
        elif encoder.network == "bilstm":
            shapes.update(_lstms(prefix, encoder, hyperparameters.enc_dim))
    shapes.update((_similarity if hyperparameters.is_similarity else _mlp)(hyperparameters))
    return shapes


def table_names(hyperparameters: Hyperparameters) -> tuple[str, ...]:
    """The names of the token tables: those of in0 and of in1, or of the one for both."""
    return TABLES[2:] if hyperparameters.tied_token_embedding_weight else TABLES[:2]


def encoder_prefixes(hyperparameters: Hyperparameters) -> tuple[str, str]:
    """What the names of the parameters of enc0 and of enc1 begin with."""
    return ("shared_", "shared_") if hyperparameters.tied_encoders else ("source_", "target_")


def _convolutions(prefix: str, encoder: EncoderHyperparameters, enc_dim: int) -> Shapes:
    shapes: Shapes = {}
    channels = encoder.token_embedding_dim
    for layer in range(encoder.layers):
        filters = enc_dim // encoder.layers + (layer < enc_dim % encoder.layers)
        shapes[f"{prefix}{layer}_weight"] = (filters, channels, encoder.cnn_filter_width)
        shapes[f"{prefix}{layer}_bias"] = (filters,)
        channels = filters
    return shapes


def _lstms(prefix: str, encoder: EncoderHyperparameters, enc_dim: int) -> Shapes:
    shapes: Shapes = {}
    for layer in range(encoder.layers):
        inputs = enc_dim if layer else encoder.token_embedding_dim
        for direction, hidden_size in (
            ("forward", enc_dim - enc_dim // 2),
            ("backward", enc_dim // 2),
        ):
            for part, columns in (("i2h", inputs), ("h2h", hidden_size)):
                name = f"{prefix}{layer}_{direction}_{part}"
                shapes[f"{name}_weight"] = (4 * hidden_size, columns)
                shapes[f"{name}_bias"] = (4 * hidden_size,)
    return shapes


def compared_width(hyperparameters: Hyperparameters) -> int:
    """Elements that the comparators, or the product of the embeddings, make of a pair."""
    if hyperparameters.is_similarity:
        return hyperparameters.enc_dim
    return hyperparameters.enc_dim * sum(
        _COMPARED[name] for name in hyperparameters.comparator_list
    )


def _similarity(hyperparameters: Hyperparameters) -> Shapes:
    if hyperparameters.is_contrastive:
        has_bias, has_scale = False, hyperparameters.learn_temperature
    else:
        has_bias, has_scale = True, hyperparameters.scorer == "cosine"
    names = ["output_layer_bias"] * has_bias + ["output_layer_log_scale"] * has_scale
    return dict.fromkeys(names, (1,))


def _mlp(hyperparameters: Hyperparameters) -> Shapes:
    shapes: Shapes = {}
    columns = compared_width(hyperparameters)
    outputs = hyperparameters.classes or 1
    layers = [f"mlp_fc{layer}" for layer in range(hyperparameters.mlp_layers)]
    for name in (*layers, "output_layer"):
        rows = outputs if name == "output_layer" else hyperparameters.mlp_dim
        shapes[f"{name}_weight"] = (rows, columns)
        shapes[f"{name}_bias"] = (rows,)
        columns = rows
    return shapes
