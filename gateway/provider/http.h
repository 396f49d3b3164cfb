/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http: a request as a script asks for it, checked. Private to http*.c.
 */
#ifndef PF_GATEWAY_PROVIDER_HTTP_H
#define PF_GATEWAY_PROVIDER_HTTP_H

#include <curl/curl.h>

#include "gateway/provider.h"

struct request {
	CURLU *url;
	struct buf target; /* "HOST:PORT" */
	struct buf body;
	bool has_body;
	const char *type; /* a header, or NULL */
	struct curl_slist *headers;
};

/*
 * Read [url, body|nil, headers|nil]. Without a body the headers count for
 * nothing, as scripts expect it. False: the job has failed as `badarg`.
 * http_fini() is due in any case.
 */
bool http_read(struct job *job, struct request *q);
void http_fini(struct request *q);

#endif
