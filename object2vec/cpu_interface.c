/* How large the structures of cpu_interface.h are and where their fields stand, for Python. */

#include "cpu_interface.h"

#include <stddef.h>

#define STRUCTURE(type) {#type, 0, sizeof(type)}
#define FIELD(type, field) {#type "." #field, offsetof(type, field), sizeof(((type *)0)->field)}
#define NUMBER(name) {#name, name, 0}

const InterfaceEntry object2vec_interface[] = {
    STRUCTURE(Api),
    FIELD(Api, wait), FIELD(Api, get_data), FIELD(Api, share), FIELD(Api, free),
    FIELD(Api, to_dlpack), FIELD(Api, free_dlpack), FIELD(Api, push),
    STRUCTURE(Arrays),
    FIELD(Arrays, weight), FIELD(Arrays, mean), FIELD(Arrays, variance),
    STRUCTURE(Parameter),
    FIELD(Parameter, arrays), FIELD(Parameter, gradient), FIELD(Parameter, size),
    FIELD(Parameter, decay),
    STRUCTURE(Table),
    FIELD(Table, arrays), FIELD(Table, gradients), FIELD(Table, sizes), FIELD(Table, width),
    FIELD(Table, decay), FIELD(Table, count), FIELD(Table, places), FIELD(Table, rows),
    FIELD(Table, starts), FIELD(Table, vectors), FIELD(Table, shares),
    STRUCTURE(Constants),
    FIELD(Constants, rate), FIELD(Constants, beta1), FIELD(Constants, beta2),
    FIELD(Constants, epsilon), FIELD(Constants, rescale),
    STRUCTURE(Dense),
    FIELD(Dense, weight), FIELD(Dense, bias), FIELD(Dense, inputs), FIELD(Dense, outputs),
    FIELD(Dense, activation),
    STRUCTURE(Scorer),
    FIELD(Scorer, enc_dim), FIELD(Scorer, comparator_count), FIELD(Scorer, comparators),
    FIELD(Scorer, layer_count), FIELD(Scorer, layers),
    STRUCTURE(LstmDirection),
    FIELD(LstmDirection, half), FIELD(LstmDirection, i2h), FIELD(LstmDirection, h2h),
    FIELD(LstmDirection, i2h_bias), FIELD(LstmDirection, h2h_bias), FIELD(LstmDirection, gates),
    FIELD(LstmDirection, cells), FIELD(LstmDirection, outputs), FIELD(LstmDirection, highest),
    FIELD(LstmDirection, d_i2h), FIELD(LstmDirection, d_h2h), FIELD(LstmDirection, d_bias),
    STRUCTURE(LstmLayer),
    FIELD(LstmLayer, lists), FIELD(LstmLayer, rows), FIELD(LstmLayer, steps),
    FIELD(LstmLayer, inputs), FIELD(LstmLayer, is_maximum), FIELD(LstmLayer, order),
    FIELD(LstmLayer, counts), FIELD(LstmLayer, turned), FIELD(LstmLayer, x),
    FIELD(LstmLayer, dx), FIELD(LstmLayer, answer), FIELD(LstmLayer, d_answer),
    FIELD(LstmLayer, directions),
    NUMBER(NO_MEMORY), NUMBER(PANEL), NUMBER(UNITS), NUMBER(ANY_CPU), NUMBER(AVX2), NUMBER(AVX512),
    NUMBER(HADAMARD), NUMBER(CONCAT), NUMBER(ABS_DIFF), NUMBER(LINEAR), NUMBER(RELU), NUMBER(TANH),
    {NULL, 0, 0},
};
