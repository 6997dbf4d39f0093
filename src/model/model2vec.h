#ifndef WN_MODEL_MODEL2VEC_H
#define WN_MODEL_MODEL2VEC_H
/* Static embeddings of text: a vector a token, a text is the mean of its tokens. */

#include "base/record.h"
#include "model/snapshot.h"

typedef struct wn_model2vec wn_model2vec;

/* A model2vec folder: model.safetensors and tokenizer.json (WordPiece with BERT's normaliser).
 * Other tokenisers are WN_E_UNSUPPORTED with their name. */
WN_MUST_USE wn_status wn_model2vec_load(const char *dir, wn_model2vec **out, wn_error *err);
void wn_model2vec_free(wn_model2vec *m); /* NULL is fine */
uint32_t wn_model2vec_d(const wn_model2vec *m);
/* The mean over title and text, as one text, not normalised; false when no token of it is known. */
bool wn_model2vec_encode(const wn_model2vec *m, const wn_item_record *item, float *out);
/* Sections "vectors/embed…", "vectors/token…". */
WN_MUST_USE wn_status wn_model2vec_save(const wn_model2vec *m, wn_snapshot_writer *writer,
                                        wn_error *err);
WN_MUST_USE wn_status wn_model2vec_map(const wn_snapshot *snapshot, uint32_t d, wn_model2vec **out,
                                       wn_error *err);

#endif
