#ifndef WN_CLI_HTTP_CLIENT_H
#define WN_CLI_HTTP_CLIENT_H
/* Asks a running server: one keep-alive connection, answers up to 16 MiB. Not for several threads
 * at a time. */

#include "base/str.h"

typedef struct wn_http_client wn_http_client;

/* `url`: of the server, without a slash at its end; `key` NULL: none. Errors name the field "url".
 */
WN_MUST_USE wn_status wn_http_client_create(const char *url, const char *key, wn_http_client **out,
                                            wn_error *err);
void wn_http_client_free(wn_http_client *client);

/* "Name: value", with each request from now on, instead of the one that was set before. */
WN_MUST_USE wn_status wn_http_header(wn_http_client *client, const char *header, wn_error *err);

/* The body is the client's, until the next call. WN_E_IO: no answer, or another status than 200
 * (then the message holds the answer's beginning). */
WN_MUST_USE wn_status wn_http_get(wn_http_client *client, const char *path, wn_str *body,
                                  wn_error *err);
WN_MUST_USE wn_status wn_http_post_json(wn_http_client *client, const char *path,
                                        const wn_buf *json, wn_str *body, wn_error *err);

#endif
