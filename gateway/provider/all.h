/* SPDX-License-Identifier: Apache-2.0 */
/*
 * all: what the files of this folder define; see provider.c for which of them
 * are built.
 */
#ifndef PF_GATEWAY_PROVIDER_ALL_H
#define PF_GATEWAY_PROVIDER_ALL_H

#include "gateway/provider.h"

extern const struct provider postgres_provider, cockroachdb_provider;
extern const struct provider mysql_provider, mysql2_provider;
extern const struct provider mongodb_provider;
extern const struct provider redis_provider;
extern const struct provider memcached_provider;
extern const struct provider http_provider;
extern const struct provider bcrypt_provider;

#endif
