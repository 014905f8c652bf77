// ingot.h: the one public header of the Ingot engine.
//
// Conventions. Every fallible call returns an ingot_status and takes an `ingot_error *` last (NULL: no
// message wanted). Strings that come in are UTF-8 and NUL-terminated unless a size goes with them; strings
// that go out through ingot_str are not NUL-terminated. "Borrowed" means that the caller keeps ownership and
// the memory must outlive the object it is given to. Closing functions accept NULL. Objects made from a
// runtime must be closed before it. No call prints, exits, reads the environment or keeps process-wide state,
// one thing apart: while a file is mapped, a SIGBUS handler turns a file that was cut off under our feet into
// an error.
//
// Threads. A runtime, a model and a vocabulary may be used from any number of threads at once. An engine may
// too: its requests are served by a thread of its own. A gguf and a writer belong to one thread at a time.
// After fork() the child has no such threads: opening a model and every call on an engine made before the
// fork return INGOT_ERR_STATE there.
//
// This header is also read by cffi, which drops the lines that start with '#' and the word INGOT_API.
#ifndef INGOT_H
#define INGOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(_WIN32)
#define INGOT_API __declspec(dllexport)
#else
#define INGOT_API __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
extern "C" {
#endif

// ---------------------------------------------------------------------------------------------- status

typedef enum ingot_status {
    INGOT_OK = 0,
    INGOT_ERR_INVALID,     // an argument outside its documented range
    INGOT_ERR_MEMORY,      // an allocation failed
    INGOT_ERR_IO,          // the operating system refused (file not found, short read, disk full, ...)
    INGOT_ERR_FORMAT,      // a file or text that is malformed
    INGOT_ERR_UNSUPPORTED, // well-formed, but this build can't handle it
    INGOT_ERR_NOT_FOUND,   // no such key, tensor, type, ISA, request, ...
    INGOT_ERR_LIMIT,       // it would not fit (context, memory, caps on hostile input)
    INGOT_ERR_CANCELLED,   // a progress callback said no, or the request was cancelled
    INGOT_ERR_STATE,       // the object can't do that now (closed, used after fork, ...)
    INGOT_ERR_INTERNAL,    // a bug of ours
    INGOT_ERR_BUSY,        // too many requests wait, or one waited too long: it may be tried again later
} ingot_status;

// The caller's error object. `message` is one line of UTF-8, NUL-terminated, without control characters.
typedef struct ingot_error {
    ingot_status status;
    char message[1020];
} ingot_error;

// "format", "io", ...: the name of a status. Static.
INGOT_API const char *ingot_status_name(ingot_status status);

// "0.1.0". Static.
INGOT_API const char *ingot_version(void);

// A run of bytes, not NUL-terminated.
typedef struct ingot_str {
    const char *data;
    size_t size;
} ingot_str;

// Called now and then by long operations with the share done (0 to 1). Returning false cancels them:
// they then return INGOT_ERR_CANCELLED and leave nothing half done.
typedef bool (*ingot_progress_fn)(void *user, double done);

// ---------------------------------------------------------------------------------------------- runtime

// What is shared by the models of a process: one thread pool (so that two models never oversubscribe the
// cores), the instruction set's kernels, the devices, the log sink and the allocator.
typedef struct ingot_runtime ingot_runtime;

// Resizes `old` (NULL: allocates) to `size` bytes aligned for any type; size 0 frees. NULL when exhausted.
typedef struct ingot_allocator {
    void *user;
    void *(*resize)(void *user, void *old, size_t size);
} ingot_allocator;

typedef enum ingot_log_level {
    INGOT_LOG_DEBUG = 0,
    INGOT_LOG_INFO,
    INGOT_LOG_WARN,
    INGOT_LOG_ERROR,
} ingot_log_level;

// One line without a newline. May be called from any thread.
typedef void (*ingot_log_fn)(void *user, ingot_log_level level, const char *line);

typedef struct ingot_runtime_params {
    int32_t threads;  // 0: one per performance core that affinity and cgroup quota grant
    bool pin_threads; // bind each worker to a core
    const char *isa;  // NULL: the best that this machine has; else a name of ingot_isa_name
    ingot_log_fn log; // NULL: silent
    void *log_user;
    const ingot_allocator *allocator; // NULL: the C library's. Borrowed; must be safe from several threads
} ingot_runtime_params;

INGOT_API ingot_runtime_params ingot_runtime_default_params(void);
INGOT_API ingot_status ingot_runtime_new(const ingot_runtime_params *params, ingot_runtime **out,
                                         ingot_error *err);
INGOT_API void ingot_runtime_free(ingot_runtime *runtime);

INGOT_API int32_t ingot_runtime_threads(const ingot_runtime *runtime);
INGOT_API const char *ingot_runtime_isa(const ingot_runtime *runtime);

// The i-th instruction set compiled into this library, worst first (NULL past the last), and whether this
// machine can run it.
INGOT_API const char *ingot_isa_name(int32_t i);
INGOT_API bool ingot_isa_usable(int32_t i);

typedef struct ingot_device {
    char name[32];         // "cpu"
    char description[128]; // "AMD EPYC, avx512, 2 of 2 cores"
    uint64_t memory_total; // bytes
    uint64_t memory_free;  // bytes that could be used now without swapping, by cgroup limits too
} ingot_device;

INGOT_API int32_t ingot_device_count(const ingot_runtime *runtime);
INGOT_API ingot_status ingot_device_get(const ingot_runtime *runtime, int32_t i, ingot_device *out,
                                        ingot_error *err);

// Measures how fast the runtime's threads together read memory: `bytes` of it (a few hundred MB, more than
// all caches hold) are allocated and read a dozen times in several ways, and the best rate is stored. While
// it runs, nothing else of this runtime computes. INGOT_ERR_INVALID below 4160000 bytes.
INGOT_API ingot_status ingot_measure_read(ingot_runtime *runtime, uint64_t bytes, double *bytes_per_second,
                                          ingot_error *err);

// Measures how many operations on int8 (two for a product and its addition) the runtime's threads together do
// in a second with the instruction set in use, for about a tenth of one.
INGOT_API ingot_status ingot_measure_int8(ingot_runtime *runtime, double *ops_per_second, ingot_error *err);

// Rows of weights, and which product of them with columns of activations is measured.
typedef struct ingot_product_sample {
    int32_t type;     // tensor type id
    const void *rows; // [n_rows] as they lie in a file
    int64_t n_rows;   // a multiple of 16
    int64_t width;    // weights in a row, a multiple of the type's block
    int32_t columns;  // 1, 2, 4: straight from the file's layout; 8, 12: from panels; 0: making the panels
} ingot_product_sample;

// Measures how many weights a second the calling thread multiplies with all columns, with the instruction set
// in use: the best of several runs of a few milliseconds over the same rows, which should be few enough to
// stay in a cache. INGOT_ERR_NOT_FOUND if the instruction set has no product for the type and the width:
// weights without one are decoded first.
INGOT_API ingot_status ingot_measure_product(ingot_runtime *runtime, const ingot_product_sample *sample,
                                             double *weights_per_second, ingot_error *err);

// ---------------------------------------------------------------------------------------------- tensor types

// A tensor type is its GGUF id (0: F32, 1: F16, 2: Q4_0, ...). Rows are made of blocks of `block_size`
// weights that take `block_bytes` bytes.
typedef struct ingot_type_info {
    int32_t id;
    int32_t block_size;
    int32_t block_bytes;
    bool can_encode;   // ingot_encode knows it
    bool has_feedback; // and can let errors of a row's weights make up for each other
    char name[16];     // "Q4_K"
} ingot_type_info;

// The row of type `id`; INGOT_ERR_NOT_FOUND for ids that no GGUF file may hold.
INGOT_API ingot_status ingot_type_get(int32_t id, ingot_type_info *out, ingot_error *err);

// The type called `name` ("q4_k", any case).
INGOT_API ingot_status ingot_type_find(const char *name, ingot_type_info *out, ingot_error *err);

// Decodes `n` weights (a multiple of the type's block size) of `src` into `dst` with the runtime's threads.
INGOT_API ingot_status ingot_decode(ingot_runtime *runtime, int32_t type, const void *src, uint64_t n,
                                    float *dst, ingot_error *err);

enum { INGOT_WINDOW = 256 }; // columns whose products are known

// How the errors of a row's weights are to make up for each other: the product of a row with an input is to
// change as little as can be, for inputs as they come.
typedef struct ingot_feedback ingot_feedback;

// From the means of products of an input's columns over many tokens: row i of `moments`
// [width][INGOT_WINDOW] holds those of column i with the columns of its window, which begins at column i /
// INGOT_WINDOW * INGOT_WINDOW (what would lie behind the last column isn't read). A number that isn't finite
// and a negative square are INGOT_ERR_INVALID. `width` is a multiple of 32.
INGOT_API ingot_status ingot_feedback_new(ingot_runtime *runtime, const float *moments, uint64_t width,
                                          ingot_feedback **out, ingot_error *err);
INGOT_API void ingot_feedback_free(ingot_runtime *runtime, ingot_feedback *feedback);

// Encodes `rows` rows of `width` weights (a multiple of the block size) into `dst` (rows * width / block_size
// * block_bytes bytes) with the runtime's threads; the bytes don't depend on how many there are. `importance`
// [width] (NULL: none) is how much the squared error of a column's weights matters, as an importance matrix
// says it; a number that is negative or not finite is INGOT_ERR_INVALID. Weights that aren't finite have no
// code in quantised types: a block that holds one decodes to NaNs or zeros. `feedback` (NULL: none), made for
// rows of this width, lets errors of a row's weights make up for each other, in types that have it.
INGOT_API ingot_status ingot_encode(ingot_runtime *runtime, int32_t type, const float *src, uint64_t rows,
                                    uint64_t width, const float *importance, const ingot_feedback *feedback,
                                    void *dst, ingot_error *err);

// ---------------------------------------------------------------------------------------------- GGUF files

// A GGUF file (or all files of a split) opened for reading.
// Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
typedef struct ingot_gguf ingot_gguf;

typedef enum ingot_gguf_type {
    INGOT_GGUF_U8 = 0,
    INGOT_GGUF_I8,
    INGOT_GGUF_U16,
    INGOT_GGUF_I16,
    INGOT_GGUF_U32,
    INGOT_GGUF_I32,
    INGOT_GGUF_F32,
    INGOT_GGUF_BOOL,
    INGOT_GGUF_STRING,
    INGOT_GGUF_ARRAY,
    INGOT_GGUF_U64,
    INGOT_GGUF_I64,
    INGOT_GGUF_F64,
} ingot_gguf_type;

// A metadata value. `data` holds `count` items:
//   scalars and arrays of scalars  packed little-endian numbers (aligned to 8 bytes); a bool is a byte 0 or 1
//   strings and arrays of them     ingot_str[count]
//   arrays of arrays               ingot_gguf_value[count]
typedef struct ingot_gguf_value {
    ingot_gguf_type type;      // INGOT_GGUF_ARRAY for arrays
    ingot_gguf_type item_type; // of the items; equal to `type` for scalars (count is 1 then)
    uint64_t count;
    const void *data;
} ingot_gguf_value;

typedef struct ingot_gguf_kv {
    ingot_str key;
    ingot_gguf_value value;
} ingot_gguf_kv;

typedef struct ingot_gguf_tensor {
    ingot_str name;
    int32_t type;      // tensor type id
    int32_t n_dims;    // 1 to 4
    uint64_t shape[4]; // shape[0] is the row length; dimensions past n_dims are 1
    uint64_t bytes;    // size of the data
    const void *data;  // in the file map, aligned to general.alignment; NULL if opened without data
    int32_t split;     // which file of the split it lies in
    uint64_t offset;   // of the data, from the start of that file
} ingot_gguf_tensor;

typedef struct ingot_gguf_params {
    bool no_map;  // read the tensor data into memory instead of mapping the file
    bool lock;    // keep the tensor data in physical memory (mlock); an error if the system refuses
    bool no_data; // metadata and tensor directory only
} ingot_gguf_params;

// Opens `path`; if it is the first file of a split (NAME-00001-of-0000N.gguf) its siblings too. `params`
// NULL: map the file. The result borrows nothing.
INGOT_API ingot_status ingot_gguf_open(ingot_runtime *runtime, const char *path,
                                       const ingot_gguf_params *params, ingot_progress_fn progress,
                                       void *user, ingot_gguf **out, ingot_error *err);
INGOT_API void ingot_gguf_close(ingot_gguf *gguf);

INGOT_API uint32_t ingot_gguf_version(const ingot_gguf *gguf);
INGOT_API uint64_t ingot_gguf_alignment(const ingot_gguf *gguf);
INGOT_API uint64_t ingot_gguf_kv_count(const ingot_gguf *gguf);
INGOT_API uint64_t ingot_gguf_tensor_count(const ingot_gguf *gguf);
INGOT_API int32_t ingot_gguf_split_count(const ingot_gguf *gguf);

// The i-th entry, borrowed from `gguf`; NULL past the end.
INGOT_API const ingot_gguf_kv *ingot_gguf_kv_at(const ingot_gguf *gguf, uint64_t i);
INGOT_API const ingot_gguf_tensor *ingot_gguf_tensor_at(const ingot_gguf *gguf, uint64_t i);

// By name, by bisection; NULL where there is none.
INGOT_API const ingot_gguf_value *ingot_gguf_find(const ingot_gguf *gguf, const char *key);
INGOT_API const ingot_gguf_tensor *ingot_gguf_find_tensor(const ingot_gguf *gguf, const char *name);

// INGOT_ERR_IO if a mapped file was cut off since it was opened (its missing pages read as zeros from then
// on).
INGOT_API ingot_status ingot_gguf_check(const ingot_gguf *gguf, ingot_error *err);

// Writes a GGUF v3 file: first all metadata, then the tensor directory, then the tensors' data in the same
// order. The data is streamed; metadata and directory are kept until the first of it. The file appears under
// its name only when ingot_gguf_writer_finish succeeded; until then it is NAME.part, which closing early
// removes. The files of a split get their names last to first.
typedef struct ingot_gguf_writer ingot_gguf_writer;

typedef struct ingot_gguf_writer_params {
    uint64_t alignment;       // 0: 32, or what general.alignment says when that key is added
    uint64_t max_split_bytes; // start a new file of a split before tensor data exceeds this; 0: one file.
                              // `path` is then the stem of NAME-00001-of-0000N.gguf
} ingot_gguf_writer_params;

INGOT_API ingot_status ingot_gguf_writer_new(ingot_runtime *runtime, const char *path,
                                             const ingot_gguf_writer_params *params, ingot_gguf_writer **out,
                                             ingot_error *err);

// Adds a metadata entry (copied). INGOT_ERR_INVALID for a key that was added before, and for split.no,
// split.count and split.tensors.count, which are the writer's own.
INGOT_API ingot_status ingot_gguf_writer_kv(ingot_gguf_writer *writer, const char *key,
                                            const ingot_gguf_value *value, ingot_error *err);

// Declares a tensor; all must be declared before the first data. `shape` has n_dims entries, row length
// first.
INGOT_API ingot_status ingot_gguf_writer_tensor(ingot_gguf_writer *writer, const char *name, int32_t type,
                                                int32_t n_dims, const uint64_t *shape, ingot_error *err);

// Appends bytes to the data of the declared tensors, in order; pieces may end anywhere but at most at the end
// of the current tensor.
INGOT_API ingot_status ingot_gguf_writer_data(ingot_gguf_writer *writer, const void *data, uint64_t bytes,
                                              ingot_error *err);

// Checks that every tensor is complete, flushes to disk, renames and frees the writer (also when it fails).
INGOT_API ingot_status ingot_gguf_writer_finish(ingot_gguf_writer *writer, ingot_error *err);

// Drops an unfinished file and frees the writer.
INGOT_API void ingot_gguf_writer_abort(ingot_gguf_writer *writer);

// ---------------------------------------------------------------------------------------------- models

// Weights and vocabulary of one model, read-only once open.
typedef struct ingot_model ingot_model;

typedef struct ingot_model_params {
    ingot_gguf_params file;
    bool vocab_only;           // no weights: tokenise and detokenise only
    const char *pre;           // NULL: the file's own; else the pre-tokenizer to use instead
    bool ignore_extra_tensors; // load a model although it has tensors that its architecture doesn't use
    bool profile;              // measure each operation: ingot_model_stage
    bool collect;              // sum up what matrices are multiplied with: ingot_model_collected. Not with
                               // `profile`
    bool moments;              // with `collect`: the products of columns too, ingot_model_collected_moments,
                               // for which the sums take 1024 bytes for each column
} ingot_model_params;

INGOT_API ingot_model_params ingot_model_default_params(void);
INGOT_API ingot_status ingot_model_open(ingot_runtime *runtime, const char *path,
                                        const ingot_model_params *params, ingot_progress_fn progress,
                                        void *user, ingot_model **out, ingot_error *err);
INGOT_API void ingot_model_close(ingot_model *model);

// The file that the model was read from, borrowed.
INGOT_API const ingot_gguf *ingot_model_gguf(const ingot_model *model);

// How a text's vectors become its embedding.
typedef enum ingot_pooling {
    INGOT_POOLING_NONE = 0, // a vector for each token
    INGOT_POOLING_MEAN,
    INGOT_POOLING_CLS,  // the first token's vector
    INGOT_POOLING_LAST, // the last token's
    INGOT_POOLING_RANK, // scores of the whole text by the file's classifier
} ingot_pooling;

typedef struct ingot_model_info {
    char architecture[32];
    int32_t n_vocab;
    int32_t n_ctx_train; // the context that the model was made for; the fields from here on are 0 with
    int32_t n_layer;     // vocab_only
    int32_t n_embd;
    int32_t n_head;
    int32_t n_head_kv; // largest of the layers
    uint64_t n_params; // weights
    uint64_t weight_bytes;
    uint64_t kv_bytes_per_token_f16; // what a token of context takes with F16 pages
    bool generates;                  // gives logits; an encoder gives embeddings alone
    ingot_pooling pooling;           // the file's own, else last (mean, if the whole text is seen at once)
    int32_t n_label;                 // scores of the classifier, 0: there is none
} ingot_model_info;

INGOT_API void ingot_model_get_info(const ingot_model *model, ingot_model_info *out);

// What operations of one kind have taken since the model was opened with `profile`.
typedef struct ingot_stage {
    char name[96]; // "norm", "attend"; products by their weights: "multiply attn_q:Q4_K attn_k:Q4_K"
    uint64_t calls;
    uint64_t barriers; // times that threads were given work and waited for
    double seconds;
    uint64_t
        weight_bytes;  // of products: read, each matrix once a call; 0 where several tokens choose experts
    uint64_t products; // of a weight and an activation
} ingot_stage;

// The i-th kind of operation, in the order in which they first came. INGOT_ERR_NOT_FOUND past the last,
// INGOT_ERR_STATE without `profile`.
INGOT_API ingot_status ingot_model_stage(const ingot_model *model, int32_t i, ingot_stage *out,
                                         ingot_error *err);

// A matrix, or the matrices of a layer's experts, of a model opened with `collect`. Of every column of its
// input the squares are summed over all tokens that were computed.
typedef struct ingot_collected {
    char tensor[128]; // "blk.0.attn_q.weight"
    int64_t width;    // columns of the input
    int64_t matrices; // 1, or the number of experts
    int32_t input;    // the first matrix that is multiplied with the same input, and has the same sums; -1:
                      // none was computed yet
} ingot_collected;

// The i-th matrix, in the order in which the model was opened. INGOT_ERR_NOT_FOUND past the last,
// INGOT_ERR_STATE without `collect`.
INGOT_API ingot_status ingot_model_collected(const ingot_model *model, int32_t i, ingot_collected *out,
                                             ingot_error *err);

// Copies the i-th matrix's sums of squares to `sums` [matrices][width], and of how many tokens they are to
// `counts` [matrices]: of experts, those that chose them. They depend on the tokens and their order, not on
// threads or batches. While a request runs, some layers may be ahead of others.
INGOT_API ingot_status ingot_model_collected_read(const ingot_model *model, int32_t i, double *sums,
                                                  uint64_t *counts, ingot_error *err);

// Copies the sums of products of columns, with `moments`: to row i of `moments` [matrices][width]
// [INGOT_WINDOW] those of column i with the columns of its window, which begins at i / INGOT_WINDOW *
// INGOT_WINDOW; zeros for what lies behind the last column. INGOT_ERR_STATE without `moments`.
INGOT_API ingot_status ingot_model_collected_moments(const ingot_model *model, int32_t i, float *moments,
                                                     ingot_error *err);

// Sets all sums and counts to zero.
INGOT_API ingot_status ingot_model_collected_clear(ingot_model *model, ingot_error *err);

// The i-th architecture that this library knows ("llama", ...), NULL past the last.
INGOT_API const char *ingot_arch_name(int32_t i);

// ---------------------------------------------------------------------------------------------- adapters

// A change of a model's matrices by products of low rank (LoRA), which requests may have. Hu et al. 2021,
// "LoRA: Low-Rank Adaptation of Large Language Models". Belongs to the model that it was loaded for, and must
// be freed before that is closed.
typedef struct ingot_adapter ingot_adapter;

// Loads a GGUF file as llama.cpp's convert_lora_to_gguf.py writes it: general.type "adapter", adapter.type
// "lora", general.architecture as the model's, adapter.lora.alpha, and for each changed tensor of the model
// "<name>.lora_a" [rank][width] and "<name>.lora_b" [rows][rank], of any types of weights. INGOT_ERR_FORMAT
// if it isn't made for this model, INGOT_ERR_UNSUPPORTED for tensors that can't be changed (norms, experts):
// nothing is left out in silence. The file is mapped. Engines may be running.
INGOT_API ingot_status ingot_adapter_load(ingot_model *model, const char *path, ingot_progress_fn progress,
                                          void *user, ingot_adapter **out, ingot_error *err);

// No later request may have it; those that were submitted go on with it, and the last of them to be dropped
// frees the memory.
INGOT_API void ingot_adapter_free(ingot_adapter *adapter);

typedef struct ingot_adapter_info {
    uint64_t serial;   // of this load, from 1 on; a model never gives a number twice
    int32_t rank;      // the largest of its tensors
    uint64_t n_params; // weights
    uint64_t weight_bytes;
} ingot_adapter_info;

INGOT_API void ingot_adapter_get_info(const ingot_adapter *adapter, ingot_adapter_info *out);

// An adapter and what its change is multiplied with.
typedef struct ingot_adapter_scale {
    ingot_adapter *adapter;
    float scale;
} ingot_adapter_scale;

// ---------------------------------------------------------------------------------------------- text

// Tokenises `size` bytes of UTF-8 (any bytes are accepted). `add_special` adds what the model wants around a
// text (BOS, EOS, CLS, SEP), also to a text that spells it out already; `parse_special` turns the names of
// control tokens in the text into those tokens. Stores the number of tokens in *n, and, as far as `capacity`
// reaches, the tokens in `tokens` (may be NULL with capacity 0). INGOT_ERR_LIMIT if more were needed than
// `capacity`: *n says how many.
INGOT_API ingot_status ingot_tokenize(const ingot_model *model, const char *text, size_t size,
                                      bool add_special, bool parse_special, int32_t *tokens, size_t capacity,
                                      size_t *n, ingot_error *err);

// The bytes of `n` tokens (not necessarily valid UTF-8), with the same conventions for `capacity` and *size.
// `special` keeps the names of control tokens. The space that tokenising adds in front of a text is removed.
INGOT_API ingot_status ingot_detokenize(const ingot_model *model, const int32_t *tokens, size_t n,
                                        bool special, char *text, size_t capacity, size_t *size,
                                        ingot_error *err);

typedef enum ingot_token_kind {
    INGOT_TOKEN_UNDEFINED = 0,
    INGOT_TOKEN_NORMAL,
    INGOT_TOKEN_UNKNOWN,
    INGOT_TOKEN_CONTROL,
    INGOT_TOKEN_USER_DEFINED,
    INGOT_TOKEN_UNUSED,
    INGOT_TOKEN_BYTE,
} ingot_token_kind;

typedef struct ingot_token_info {
    ingot_str text; // as the file spells it (with its own escapes for spaces and bytes)
    float score;
    ingot_token_kind kind;
    bool ends_generation; // in the set of end-of-generation tokens
} ingot_token_info;

INGOT_API ingot_status ingot_token_get(const ingot_model *model, int32_t token, ingot_token_info *out,
                                       ingot_error *err);

// The bytes of a token as it stands inside a text, as grammars see it: a space marker is a space, a byte
// token its byte, and nothing is tidied; a control token has its name with `special`, else none. Conventions
// as ingot_detokenize.
INGOT_API ingot_status ingot_token_piece(const ingot_model *model, int32_t token, bool special, char *text,
                                         size_t capacity, size_t *size, ingot_error *err);

typedef struct ingot_special_tokens {
    int32_t bos, eos, eot, unk, sep, pad, mask, cls; // -1 where the model has none
    bool add_bos, add_eos, add_sep;
} ingot_special_tokens;

INGOT_API void ingot_model_specials(const ingot_model *model, ingot_special_tokens *out);

// ---------------------------------------------------------------------------------------------- grammars

// What grammars need of a vocabulary: its tokens' bytes as a trie. Immutable; may be shared by threads.
typedef struct ingot_token_trie ingot_token_trie;

// What a token is for a grammar. Only text tokens are found by their bytes.
typedef enum ingot_token_role {
    INGOT_ROLE_TEXT = 0,
    INGOT_ROLE_CONTROL, // chosen by ingot_grammar_builder_tokens alone; its text is its name
    INGOT_ROLE_END,     // ends generation: allowed where the text is complete
} ingot_token_role;

// Makes a trie of `n` tokens (copied): their bytes or names, and an ingot_token_role each (NULL: all text).
INGOT_API ingot_status ingot_token_trie_new(ingot_runtime *runtime, const ingot_str *texts,
                                            const uint8_t *roles, int32_t n, ingot_token_trie **out,
                                            ingot_error *err);
INGOT_API ingot_status ingot_token_trie_of_model(const ingot_model *model, ingot_token_trie **out,
                                                 ingot_error *err);
INGOT_API void ingot_token_trie_free(ingot_token_trie *trie);

// Builds a grammar node by node. Each call returns a node (>= 0) to be used any number of times, or -1 where
// it or a call before failed: the first failure stays and is what compiling reports, so calls needn't be
// checked one by one. Belongs to one thread at a time.
typedef struct ingot_grammar_builder ingot_grammar_builder;

// `trie` (borrowed by builder and grammars; NULL: grammars of text alone) is what masks are for.
INGOT_API ingot_status ingot_grammar_builder_new(ingot_runtime *runtime, const ingot_token_trie *trie,
                                                 ingot_grammar_builder **out, ingot_error *err);
INGOT_API void ingot_grammar_builder_free(ingot_grammar_builder *builder);

// The first failure, or INGOT_OK.
INGOT_API ingot_status ingot_grammar_builder_status(const ingot_grammar_builder *builder, ingot_error *err);

// The i-th warning of what was read, with its place: a rule of GBNF that the root doesn't reach. NULL past
// the last. Valid until the builder is freed.
INGOT_API const char *ingot_grammar_builder_warning(const ingot_grammar_builder *builder, size_t i);

// These bytes, one after the other (none: the empty text).
INGOT_API int32_t ingot_grammar_builder_literal(ingot_grammar_builder *builder, const char *bytes,
                                                size_t size);
// One character within (`negated`: outside of) the ranges [n][2], both ends included; surrogates never match.
INGOT_API int32_t ingot_grammar_builder_class(ingot_grammar_builder *builder, const uint32_t *ranges,
                                              size_t n, bool negated);
// One byte within the ranges [n][2].
INGOT_API int32_t ingot_grammar_builder_byte(ingot_grammar_builder *builder, const uint8_t *ranges, size_t n);
// All nodes in turn; any one of them (none: matches nothing).
INGOT_API int32_t ingot_grammar_builder_sequence(ingot_grammar_builder *builder, const int32_t *nodes,
                                                 size_t n);
INGOT_API int32_t ingot_grammar_builder_choice(ingot_grammar_builder *builder, const int32_t *nodes,
                                               size_t n);
// `min` to `max` times (-1: without end). Counted, not unrolled.
INGOT_API int32_t ingot_grammar_builder_repeat(ingot_grammar_builder *builder, int32_t node, int32_t min,
                                               int32_t max);
// Of regular nodes (without tokens, tags, sets and recursion): texts of all of them; every UTF-8 text that
// isn't one of the node's.
INGOT_API int32_t ingot_grammar_builder_both(ingot_grammar_builder *builder, const int32_t *nodes, size_t n);
INGOT_API int32_t ingot_grammar_builder_complement(ingot_grammar_builder *builder, int32_t node);
// The texts that a regular expression matches whole (docs/grammar.md says the syntax); with `search`, those
// that hold a match, which ^ and $ bind to the ends.
INGOT_API int32_t ingot_grammar_builder_regex(ingot_grammar_builder *builder, const char *pattern,
                                              size_t size, bool search);
// A rule of this name (of messages; not necessarily unique), to be defined once; returns its reference.
INGOT_API int32_t ingot_grammar_builder_rule(ingot_grammar_builder *builder, const char *name, size_t size);
INGOT_API void ingot_grammar_builder_define(ingot_grammar_builder *builder, int32_t reference, int32_t node);
// One token of these ids (`negated`: any token but these and those that end generation).
INGOT_API int32_t ingot_grammar_builder_tokens(ingot_grammar_builder *builder, const int32_t *ids, size_t n,
                                               bool negated);
// What `node` matches is reported as `tag` (>= 0) by ingot_matcher_events.
INGOT_API int32_t ingot_grammar_builder_tag(ingot_grammar_builder *builder, int32_t tag, int32_t node);

// A member of a set, which must not match the empty text.
typedef struct ingot_grammar_member {
    int32_t node;
    bool required;
    bool repeatable; // may come any number of times
} ingot_grammar_member;

// Members, each once at most, in any order (`ordered`: in the given one), with `separator` between two of
// them, `min` to `max` (-1: without end) altogether.
INGOT_API int32_t ingot_grammar_builder_set(ingot_grammar_builder *builder,
                                            const ingot_grammar_member *members, size_t n, int32_t separator,
                                            bool ordered, int32_t min, int32_t max);

// Reads a GBNF grammar (docs/grammar.md); its rule `root` is the node.
INGOT_API int32_t ingot_grammar_builder_gbnf(ingot_grammar_builder *builder, const char *text, size_t size,
                                             const char *root);

// A compiled grammar with what was found out about it by its matchers; may be shared by threads.
typedef struct ingot_grammar ingot_grammar;

// Compiles what was built from `root` on; the builder may be used on or freed. `bytes` (0: 256 MiB) bounds
// the memory of states and masks, which are kept for the next time while there is room.
INGOT_API ingot_status ingot_grammar_compile(const ingot_grammar_builder *builder, int32_t root,
                                             uint64_t bytes, ingot_grammar **out, ingot_error *err);
// No matcher of it may be left.
INGOT_API void ingot_grammar_free(ingot_grammar *grammar);

// A place in a text of a grammar. Belongs to one thread at a time.
typedef struct ingot_matcher ingot_matcher;

INGOT_API ingot_status ingot_matcher_new(ingot_grammar *grammar, ingot_matcher **out, ingot_error *err);
INGOT_API void ingot_matcher_free(ingot_matcher *matcher);
// Another matcher at the same place with the same past.
INGOT_API ingot_status ingot_matcher_fork(const ingot_matcher *matcher, ingot_matcher **out,
                                          ingot_error *err);
// Back to the beginning.
INGOT_API void ingot_matcher_reset(ingot_matcher *matcher);

// Goes on by bytes, or by a token, as one step; *accepted says whether the grammar allows it: if not, nothing
// has changed. Bytes count as a token that has no id, where the grammar wants any token but some.
INGOT_API ingot_status ingot_matcher_accept_bytes(ingot_matcher *matcher, const char *bytes, size_t size,
                                                  bool *accepted, ingot_error *err);
INGOT_API ingot_status ingot_matcher_accept_token(ingot_matcher *matcher, int32_t token, bool *accepted,
                                                  ingot_error *err);
// Takes back the last `n` steps. INGOT_ERR_INVALID if there were fewer.
INGOT_API ingot_status ingot_matcher_rollback(ingot_matcher *matcher, size_t n, ingot_error *err);

// Whether the text so far is complete; it may still be able to go on.
INGOT_API bool ingot_matcher_is_accepting(const ingot_matcher *matcher);

// Sets bit i % 32 of bits[i / 32] for every token i that may come next, clears those of all others; `words`
// is (n + 31) / 32 for n tokens. *n_allowed (may be NULL) is how many there are.
INGOT_API ingot_status ingot_matcher_mask(ingot_matcher *matcher, uint32_t *bits, size_t words,
                                          int32_t *n_allowed, ingot_error *err);

// The only token that may come next; -1: there are more, or none. Seldom -1 is said though there is but one,
// where one byte may follow another that no token begins with: this is meant to be quick.
INGOT_API ingot_status ingot_matcher_only(ingot_matcher *matcher, int32_t *token, ingot_error *err);

// Tokens that complete the text: those of a shortest one, each as long as can be, without one that ends
// generation. Conventions as ingot_tokenize. INGOT_ERR_UNSUPPORTED if the vocabulary lacks a byte of it.
INGOT_API ingot_status ingot_matcher_closing(ingot_matcher *matcher, int32_t *tokens, size_t capacity,
                                             size_t *n, ingot_error *err);

// The bytes that must come next (of very many the first), and a shortest text that completes this one;
// conventions as ingot_detokenize.
INGOT_API ingot_status ingot_matcher_forced(ingot_matcher *matcher, char *text, size_t capacity, size_t *size,
                                            ingot_error *err);
INGOT_API ingot_status ingot_matcher_shortest(ingot_matcher *matcher, char *text, size_t capacity,
                                              size_t *size, ingot_error *err);

// A tag's part of the text begins or ends.
typedef struct ingot_tag_event {
    int32_t tag;
    bool enter;
    uint64_t position; // in the text: so many bytes come before
} ingot_tag_event;

// The events of the text so far, from the `first` on, as far as all ways of reading it agree: what was given
// never changes while the text grows. Bytes before *settled (may be NULL) lie between given events, whatever
// follows. `complete`: the text ends here, and ways that would go on don't count; INGOT_ERR_STATE if it
// can't. Of ways that differ in nothing that follows one is taken, the same each time. Conventions for room
// as ingot_tokenize.
INGOT_API ingot_status ingot_matcher_events(ingot_matcher *matcher, bool complete, size_t first,
                                            ingot_tag_event *events, size_t capacity, size_t *n,
                                            uint64_t *settled, ingot_error *err);

// For people: the rules that are open and what may come next; if `token` >= 0, why it may not.
INGOT_API ingot_status ingot_matcher_explain(ingot_matcher *matcher, int32_t token, char *text,
                                             size_t capacity, size_t *size, ingot_error *err);

// ---------------------------------------------------------------------------------------------- engine

// Serves requests over one model: KV pages, scheduling, sampling, on a thread of its own.
typedef struct ingot_engine ingot_engine;

typedef struct ingot_engine_params {
    int32_t n_ctx; // positions a sequence may have; 0: the model's own, less if memory doesn't allow it
    // Tensor types of keys and of values in the pages: 1 (F16), 30 (BF16), 0 (F32), or, if heads are a
    // multiple of 32 wide, 8 (Q8_0) or 2 (Q4_0).
    int32_t k_type;
    int32_t v_type;
    bool k_rotate;   // keys of Q8_0 and Q4_0 are stored rotated: models with outliers in them lose less
    int32_t n_batch; // most tokens in one forward pass; 0: 256
    int32_t n_seqs;  // most requests that generate at the same time; 0: 8
    // Memory for the pages, which running requests and what is kept of ended ones share; 0: a quarter of what
    // is free when the engine starts, but no more than n_seqs sequences of n_ctx would take. One sequence
    // always fits: without n_ctx it is made as long as half of the free memory, or this, allows.
    uint64_t kv_bytes;
    int32_t max_waiting; // requests that may wait for their turn, more are refused; 0: 65536
    // How long a step may take in which answers wait for the prompts of others, in seconds; 0: twice as
    // long as one in which all requests that run answer.
    double step_seconds;
    // A folder where pages are kept that there is no memory for, and all when the engine ends, so that later
    // ones, of other processes too, needn't compute them again; made if it isn't there. Each model, with its
    // settings, has a folder of its own in it. NULL: none.
    const char *cache_dir;
    uint64_t cache_dir_bytes; // that the model's folder may have; 0: 8 GiB
    // A smaller model of the same runtime and vocabulary, which drafts what may come
    // (ingot_request.max_draft); NULL: none. Borrowed like the model. It has as many pages of its own, which
    // count as the others do.
    ingot_model *draft;
} ingot_engine_params;

INGOT_API ingot_engine_params ingot_engine_default_params(void);

// Starts an engine. The model is borrowed. Page memory is reserved, and touched only when used.
INGOT_API ingot_status ingot_engine_new(ingot_model *model, const ingot_engine_params *params,
                                        ingot_engine **out, ingot_error *err);

// Cancels what is running, waits for the thread and frees everything. No other call may be running or follow.
INGOT_API void ingot_engine_free(ingot_engine *engine);

typedef struct ingot_engine_info {
    int32_t n_ctx;
    int32_t n_batch;
    int32_t n_seqs;
    int32_t k_type;
    int32_t v_type;
    bool k_rotate;           // as asked for, where k_type has blocks
    int32_t page_tokens;     // tokens in a page
    uint64_t kv_token_bytes; // what a token of context takes in them
    uint64_t kv_bytes;       // reserved for pages
    uint64_t kv_bytes_used;  // in pages that running requests hold, and what is kept of ended ones
    uint64_t draft_kv_bytes; // reserved for pages of the draft model
    bool n_ctx_reduced;      // memory allowed less than the model's own context
} ingot_engine_info;

INGOT_API void ingot_engine_get_info(const ingot_engine *engine, ingot_engine_info *out);

// How often something took how long.
enum { INGOT_BUCKETS = 20 };

typedef struct ingot_histogram {
    uint64_t counts[INGOT_BUCKETS]; // [i]: at most ingot_histogram_bound(i) seconds, and more than [i - 1]
    uint64_t n;                     // of all
    double seconds;                 // their sum
} ingot_histogram;

// Seconds: 0.001, 0.002, 0.005 and so on; of the last bucket, infinity.
INGOT_API double ingot_histogram_bound(int32_t i);

// Counted since the engine started, but for the first lines, which say how things are.
typedef struct ingot_engine_stats {
    int32_t n_waiting;
    int32_t n_running;
    int32_t n_pages;
    int32_t n_pages_running; // that running requests hold
    int32_t n_pages_cached;  // that are kept, and free for whoever wants them
    uint64_t n_submitted, n_refused, n_finished, n_failed, n_cancelled;
    uint64_t n_prompt_tokens;    // of requests whose turn has come
    uint64_t n_cached_tokens;    // of those, known already
    uint64_t n_computed_tokens;  // in forward passes
    uint64_t n_generated_tokens; // chosen
    uint64_t n_preempted, n_shifts;
    uint64_t n_evicted_pages;
    uint64_t n_spilled_pages, n_restored_pages;   // written to the cache's folder, and read from there
    uint64_t n_drafted_tokens, n_accepted_tokens; // of ended requests; accepted: those that came
    uint64_t n_steps;
    double step_seconds;           // in forward passes
    double schedule_seconds;       // of CPU time between them, choosing tokens apart
    ingot_histogram wait_seconds;  // from submission until the turn came
    ingot_histogram first_seconds; // from submission until the first token
    ingot_histogram next_seconds;  // from token to token
} ingot_engine_stats;

INGOT_API void ingot_engine_get_stats(ingot_engine *engine, ingot_engine_stats *out);

// Writes a session to a file: `n_tokens` tokens (at most n_ctx), and keys and values of the first *n_saved of
// them, as far as the prefix cache has them in full pages. Of tokens alone, without adapters. Requests go on
// meanwhile.
INGOT_API ingot_status ingot_engine_save(ingot_engine *engine, const int32_t *tokens, size_t n_tokens,
                                         const char *path, size_t *n_saved, ingot_error *err);

// Reads a session: its *n_tokens tokens, of which `tokens` has room for `capacity` (n_ctx is always enough),
// and makes what was saved of them known to the prefix cache, as far as there is room: the first *n_known.
// INGOT_ERR_FORMAT: the file is damaged; INGOT_ERR_INVALID: it is for another model or other settings.
INGOT_API ingot_status ingot_engine_restore(ingot_engine *engine, const char *path, int32_t *tokens,
                                            size_t capacity, size_t *n_tokens, size_t *n_known,
                                            ingot_error *err);

// A parameter of sampling, as samplers.def declares it. Values for each stand in the same order.
typedef struct ingot_sampler_param {
    char name[32];
    double default_value;
    double min;
    double max;
    bool integer;
    char doc[160];
} ingot_sampler_param;

// The i-th parameter, in the order in which ingot_sampling.values takes their values; NULL past the last.
INGOT_API const ingot_sampler_param *ingot_sampler_param_at(int32_t i);

// A sampler; in their usual order.
typedef struct ingot_sampler_stage {
    char name[32];
    bool usual; // applied unless another order is asked for
    char doc[160];
} ingot_sampler_stage;

// The i-th sampler; NULL past the last.
INGOT_API const ingot_sampler_stage *ingot_sampler_stage_at(int32_t i);

// How tokens are chosen. Memory is copied by whoever takes this. All zeros: the defaults.
typedef struct ingot_sampling {
    // In the order of ingot_sampler_param_at; defaults past n_values, and with NULL.
    const double *values;
    size_t n_values;
    // Samplers, by number, as they are applied; NULL: the usual ones.
    const int32_t *order;
    size_t n_order;
    // Texts that repetitions don't reach over, for DRY, up to 64 bytes each; NULL: newline, colon, quote,
    // star.
    const ingot_str *dry_breakers;
    size_t n_dry_breakers;
    // Every number that is drawn is a function of the seed, the sample, how many tokens were chosen before,
    // and what it is for; so samples of one seed differ, and each can be had again, whatever else is computed
    // beside it.
    uint64_t seed;
    uint32_t sample;
} ingot_sampling;

// Chooses tokens from logits that the caller has. Belongs to one thread at a time.
typedef struct ingot_sampler ingot_sampler;

// For rows of `n_vocab` logits. `model` (borrowed, may be NULL) is the one whose tokens these are, which the
// sampler infill needs, and DRY for its breakers.
INGOT_API ingot_status ingot_sampler_new(ingot_runtime *runtime, const ingot_model *model, int32_t n_vocab,
                                         const ingot_sampling *sampling, ingot_sampler **out,
                                         ingot_error *err);
INGOT_API void ingot_sampler_free(ingot_sampler *sampler);

// Chooses the next token from logits [n_vocab] (-INFINITY bans); `recent` [n_recent] are the tokens before
// it, oldest first. INGOT_ERR_INVALID if all are banned, INGOT_ERR_FORMAT if there are but NaNs.
INGOT_API ingot_status ingot_sampler_choose(ingot_sampler *sampler, const float *logits,
                                            const int32_t *recent, size_t n_recent, int32_t *token,
                                            ingot_error *err);

// The probabilities [n_vocab] by which ingot_sampler_choose would choose now; nothing is chosen.
INGOT_API ingot_status ingot_sampler_probabilities(ingot_sampler *sampler, const float *logits,
                                                   const int32_t *recent, size_t n_recent,
                                                   float *probabilities, ingot_error *err);

typedef struct ingot_logit_bias {
    int32_t token;
    float bias; // added to the logit; -INFINITY bans
} ingot_logit_bias;

// What is wanted of the logits after each token of a prompt from index `first` on (n = n_tokens - first
// rows). Every pointer may be NULL; the memory is borrowed until the request's last event. Rows are taken as
// they are computed, a few at a time: nothing of the size tokens x vocabulary is made but `logits`.
typedef struct ingot_prompt_rows {
    int32_t first;
    float *logits;   // [n, n_vocab]
    float *logprobs; // [n - 1]: natural logarithm of the probability of the token that follows in the prompt
    int32_t n_top;   // how many of the most probable tokens
    int32_t *top_tokens; // [n, n_top], most probable first, equal ones by number
    float *top_logprobs; // [n, n_top]
} ingot_prompt_rows;

typedef struct ingot_request {
    const int32_t *tokens; // the prompt: [n_tokens], copied
    size_t n_tokens;       // at least 1
    int32_t max_tokens;    // to generate; -1: as many as the context holds (then it runs alone); 0: none
    ingot_sampling sampling;
    const ingot_logit_bias *bias; // [n_bias], copied
    size_t n_bias;
    // Tokens that may come, and no others; NULL: all may. Copied.
    const int32_t *allowed;
    size_t n_allowed;
    // Texts that the answer won't have: what leads to one is taken back, and another token is chosen where it
    // began. Tokens are told once they can't be part of one. Copied.
    const ingot_str *banned;
    size_t n_banned;
    int32_t min_tokens; // before so many were chosen nothing but a grammar ends the answer
    double max_seconds; // after which the answer ends, from when the request's turn came; 0: it may last
    // What ends the answer and isn't part of its text: texts; regular expressions, the first match to be
    // complete, from as early as it can begin; tokens (not with a matcher). Copied.
    const ingot_str *stop;
    size_t n_stop;
    const ingot_str *stop_regex;
    size_t n_stop_regex;
    const int32_t *stop_tokens;
    size_t n_stop_tokens;
    // How many likeliest tokens are told with each token, with logarithms of probabilities, its own too: as
    // the model gave them, or as the samplers left them. -1: nothing is told.
    int32_t n_logprobs;
    bool sampled_logprobs;
    // Not NULL: room for [n_vocab] logits, borrowed until the last event. Before each choice they are put
    // there (INGOT_EVENT_LOGITS), the caller may change them, and calls ingot_engine_resume. This request
    // alone waits for that. Where a grammar leaves no choice there is no such event.
    float *edited_logits;
    // Holds the answer to its grammar from where it is, and goes on with it; NULL: anything may come. Its
    // grammar is of a trie of this model (ingot_token_trie_of_model). Borrowed until the last event: nobody
    // else may use it before. Stop texts count where the text before them is complete.
    ingot_matcher *matcher;
    // With a matcher: the answer closes before its tokens are used up (by tokens that a bias may ban), unless
    // even its shortest text is too long; else it ends where it is, with INGOT_FINISH_LENGTH.
    bool close_in_time;
    // With a matcher: text that must come is cut into tokens by the tokenizer alone, in one go, not as the
    // model would. Faster, and not quite the model's own answer.
    bool jump_forward;
    // How many tokens may be drafted at a time, that is computed before it is known whether they come (from
    // what stands earlier in the text, or by a draft model). The answer is the same; it comes sooner where
    // drafts are right. -1: as many as the engine expects to save time; else always this many where there are
    // any, up to 32. None with edited_logits or a model that was opened with `collect`.
    int32_t max_draft;
    bool ignore_eos; // never sample a token that ends generation; not with a matcher
    bool special;    // show the names of control tokens in the events' text
    ingot_prompt_rows rows;
    // Adapters of the engine's model, each once, whose changes are added up, in whatever order they are
    // given; one with scale 0 isn't there. Copied; freeing them doesn't end the request.
    const ingot_adapter_scale *adapters;
    size_t n_adapters;
    // Not NULL: the request is for an embedding, with max_tokens 0. Filled with [n_tokens, n_embd] (pooling
    // none), [n_label] (rank) or [n_embd] numbers, not normalised; borrowed until the request's last event.
    // Waiting requests of this kind are computed together.
    float *embedding;
    ingot_pooling pooling;
    // When it is served: requests of a higher priority first; they may make one of a lower one, which runs,
    // wait again. Among equals the client that was given least so far (0: all that name none are one), and of
    // a client's requests that one for which the time that it has waited and the time that known beginnings
    // save are the longest.
    int32_t priority;
    uint64_t client;
    double max_wait_seconds; // for its turn, after which it fails with INGOT_ERR_BUSY; 0: it waits
    // Where the context is full, goes on without the older half of all tokens but the first n_keep, which is
    // computed again; else the answer ends with INGOT_FINISH_CONTEXT. Not with banned texts.
    bool shift;
    int32_t n_keep;
} ingot_request;

INGOT_API ingot_request ingot_request_default(void);

typedef enum ingot_event_kind {
    INGOT_EVENT_NONE = 0, // the wait timed out
    INGOT_EVENT_PREFILL,  // part of the prompt was computed
    INGOT_EVENT_TOKEN,    // a token was chosen
    INGOT_EVENT_LOGITS,   // logits may be changed; the request waits for ingot_engine_resume
    INGOT_EVENT_DONE,     // the last event of a request that came to its end
    INGOT_EVENT_ERROR,    // the last event of one that failed or was cancelled; `error` says why
} ingot_event_kind;

typedef enum ingot_finish {
    INGOT_FINISH_NONE = 0,
    INGOT_FINISH_EOS,     // an end-of-generation token, or a grammar that was closed in time
    INGOT_FINISH_STOP,    // a stop text, expression or token
    INGOT_FINISH_LENGTH,  // max_tokens
    INGOT_FINISH_TIME,    // max_seconds
    INGOT_FINISH_CONTEXT, // the context is full
    INGOT_FINISH_CANCELLED,
    INGOT_FINISH_ERROR,
} ingot_finish;

typedef struct ingot_event {
    ingot_event_kind kind;
    int32_t token; // with TOKEN
    // With TOKEN: whole code points that may be shown now (maybe none). With DONE: the rest of the output,
    // which may end inside a code point. Valid until the next wait for the same request, or its drop.
    ingot_str text;
    int32_t n_prompt;    // prompt tokens computed so far
    int32_t n_cached;    // of those, taken over from an earlier request without computing them again
    int32_t n_generated; // tokens chosen so far
    int32_t n_shifted;   // tokens that were forgotten because the context was full
    // With DONE and ERROR: tokens that were drafted, those of them that came, and those that a grammar left
    // no choice of, which were computed with the one before.
    int32_t n_drafted, n_accepted, n_forced;
    // With FINISH_STOP: which stop text (expressions count on behind texts, tokens behind those), and, unless
    // it was a token, what was matched; valid like `text`.
    int32_t stop_index;
    ingot_str stop_text;
    // With TOKEN, if n_logprobs >= 0 was asked for: natural logarithms of probabilities, valid like `text`;
    // NaN for a token that a grammar left no choice of.
    float logprob;
    int32_t n_top;
    const int32_t *top_tokens; // [n_top] likeliest first, equal ones by number
    const float *top_logprobs; // [n_top]
    const int32_t *tokens;     // with LOGITS: the prompt and the answer so far [n_tokens]. Valid like `text`
    int32_t n_tokens;
    ingot_finish finish;    // with DONE and ERROR
    double prefill_seconds; // with DONE: spent on the prompt
    double decode_seconds;  // with DONE: spent on generated tokens
    ingot_error error;      // with ERROR
} ingot_event;

// Queues a request and stores its handle, which is never reused and ends with ingot_engine_drop. A prompt
// that can't fit is refused here with INGOT_ERR_LIMIT and the numbers; an answer that reaches the end of the
// context ends with INGOT_FINISH_CONTEXT.
INGOT_API ingot_status ingot_engine_submit(ingot_engine *engine, const ingot_request *request, uint64_t *id,
                                           ingot_error *err);

// Waits at most `timeout_ms` (negative: for ever) for the request's next event. DONE or ERROR is the last
// one; after it, and after a drop, INGOT_ERR_NOT_FOUND.
INGOT_API ingot_status ingot_engine_wait(ingot_engine *engine, uint64_t id, int32_t timeout_ms,
                                         ingot_event *out, ingot_error *err);

// Waits at most `timeout_ms` (negative: for ever) until requests have events that weren't announced yet, and
// stores as many of their handles as there is room for: one thread can so wait for all of them. A request is
// announced once, and again when ingot_engine_wait has given INGOT_EVENT_NONE for it. *n is 0 when the time
// is over, and after ingot_engine_wake.
INGOT_API ingot_status ingot_engine_ready(ingot_engine *engine, int32_t timeout_ms, uint64_t *ids,
                                          size_t capacity, size_t *n, ingot_error *err);

// Makes the calls of ingot_engine_ready that wait return.
INGOT_API void ingot_engine_wake(ingot_engine *engine);

// Goes on with a request whose logits were changed. INGOT_ERR_STATE if none were given to the caller.
INGOT_API ingot_status ingot_engine_resume(ingot_engine *engine, uint64_t id, ingot_error *err);

// Asks for a request to end: at the latest after the current forward pass, and if it runs alone after the
// current part of it, it gets an ERROR event with INGOT_ERR_CANCELLED. Cancelling one that is gone does
// nothing.
INGOT_API void ingot_engine_cancel(ingot_engine *engine, uint64_t id);

// Ends the life of a request: every one that was submitted must be dropped once. One that is still running is
// cancelled; its unread events are lost. Returns when nothing that it borrowed is in use any more (at once,
// if it fills nothing of the caller's). Dropping one that is gone does nothing.
INGOT_API void ingot_engine_drop(ingot_engine *engine, uint64_t id);

#ifdef __cplusplus
}
#endif

#endif
