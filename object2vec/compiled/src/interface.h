/* SPDX-License-Identifier: Apache-2.0 */
/* All that Python sees of the compiled part. library.py declares it a second time; when the library
   is loaded, it compares both by the table in interface.c. */

#ifndef OBJECT2VEC_CPU_INTERFACE_H
#define OBJECT2VEC_CPU_INTERFACE_H

#include <stdint.h>

#define NO_MEMORY 1 /* MXNet's own code for an error is -1 */
#define PANEL 64    /* columns of weights side by side; see panels.h */
#define UNITS 16    /* units of an LSTM in a panel, with four gates each */

/* The instruction sets of isa.h. */
enum { NO_ISA, AVX2, AVX512 };
enum { HADAMARD, CONCAT, ABS_DIFF };
enum { LINEAR, RELU, TANH };

/* Functions of MXNet's C API; each returns 0 on success. */
typedef struct {
    int (*wait)(void *array);
    int (*get_data)(void *array, void **data);
    int (*share)(void *array, void **other);
    int (*free)(void *array);
    int (*to_dlpack)(void *array, void ***tensor);
    int (*free_dlpack)(void **tensor);
    int (*push)(void (*call)(void *, void *), void *argument, void (*deleter)(void *),
                const void *context, void **read, int reads, void **written, int writes,
                void *property, int priority, const char *name);
} Api;

typedef struct {
    void *weight, *mean, *variance;
} Arrays; /* NDArrays of a parameter and of its moments */

/* A parameter with a gradient of its own, an NDArray. */
typedef struct {
    Arrays arrays;
    void *gradient;
    int64_t size;
    float decay, decoupled_decay; /* added to the gradient; of the weight itself */
} Parameter;

#define MAX_GRADIENTS 2 /* in0 and in1 may share a table */

/* A token table, of which a step updates some rows; see UsedRows in kernels.py. */
typedef struct {
    Arrays arrays;                  /* of a table that stays as it is, there are no moments */
    Arrays token_weights;           /* what its rows are multiplied by, one each, or nothing */
    void *gradients[MAX_GRADIENTS]; /* of the vectors that were looked up, NDArrays */
    int64_t sizes[MAX_GRADIENTS];   /* vectors in each */
    int64_t width;
    float decay, decoupled_decay;
    int64_t count, positions;
    const int32_t *rows;       /* count: those to update */
    const int32_t *starts;     /* count + 1: where the positions of each row start */
    const int32_t *vectors;    /* positions: the vectors in whose mean the row is */
    const float *mean_weights; /* for each vector: the weight of each row in that mean */
} Table;

typedef struct {
    float rate, beta1, beta2, epsilon, rescale;
    float plain_rate; /* without the bias correction: that of decoupled decay */
} AdamConstants;

/* A layer of the scorer. */
typedef struct {
    void *weight, *bias; /* NDArrays (outputs, inputs) and (outputs,) */
    int64_t inputs, outputs, activation;
} Dense;

typedef struct {
    int64_t enc_dim, comparator_count, comparators[3], layer_count;
    const Dense *layers;
} Scorer;

/* One direction of a layer; a unit has four gates. */
typedef struct {
    int64_t hidden_size;    /* units */
    const float *i2h, *h2h; /* (4 * hidden_size, inputs), (4 * hidden_size, hidden_size) */
    const float *i2h_bias, *h2h_bias;
    /* the forward pass writes these, the backward pass reads them */
    float *gates, *cells, *outputs; /* (rows, stride), (rows, units), (rows, units) */
    int32_t *argmax;                /* (lists, units): the row of each list's maximum */
    float *d_i2h, *d_h2h, *d_bias;
} LstmDirection;

typedef struct {
    int64_t lists, rows, steps, inputs;
    int64_t is_maximum;      /* whether the output is the maximum over each list, not all rows */
    const int64_t *order;    /* lists: their numbers, the longest list first */
    const int64_t *counts;   /* steps: how many lists have a token at each time step */
    const int64_t *reversed; /* rows: the row that each row's token has in the reversed lists */
    const float *x;          /* (rows, inputs) */
    float *dx;
    float *output; /* (lists or rows, the hidden sizes of both directions) */
    const float *d_output;
    LstmDirection directions[2];
} LstmLayer;

/* A structure, one of its fields, or a constant; the last entry has no name. */
typedef struct {
    const char *name;
    int64_t value; /* a constant's value, a field's offset, 0 for a structure */
    int64_t size;  /* in bytes; 0 for a constant */
} InterfaceEntry;

extern const InterfaceEntry object2vec_interface[];

/* How many of the best instruction sets are not used; tests set it, to try the others as well. */
extern int object2vec_isas_passed_over;

/* How many operations did nothing, because oneDNN kept one of their arrays in its own layout. */
extern int object2vec_refused;

/* Functions that return int, but for the first, return 0, NO_MEMORY or MXNet's error code. */
int object2vec_isa_of_cpu(void);
int object2vec_adam_step(const Api *api, const void *context, const Parameter *parameters,
                         int64_t count, const Table *tables, int64_t table_count,
                         AdamConstants constants);
int64_t object2vec_group_tokens(const int32_t *tokens, int64_t count, int32_t *rows,
                                int32_t *starts, int32_t *positions);
int object2vec_catch_up(const Api *api, const void *context, Arrays arrays, int64_t width,
                        int64_t count, const int32_t *rows, const float *factors, float epsilon);
int object2vec_mean_of_rows(const Api *api, void *table, float *output, int64_t width,
                            int64_t count, const int64_t *starts, const int32_t *tokens);
int object2vec_queue_mean_of_rows(const Api *api, const void *context, void *table,
                                  void *token_weights, void *output, int64_t width, int64_t count,
                                  const int64_t *starts, const int32_t *tokens);
int object2vec_convolve(const Api *api, void **arrays, float *output, int64_t token_dim,
                        int64_t layer_count, const int64_t *filters, int64_t width, int64_t count,
                        const int64_t *starts, const int32_t *tokens);
int object2vec_score(const Api *api, const Scorer *scorer, const float *vector0,
                     const float *vector1, int64_t count, int is_softmax, float *output);
int object2vec_lstm_forward(const LstmLayer *layer);
int object2vec_lstm_backward(const LstmLayer *layer);

#endif
