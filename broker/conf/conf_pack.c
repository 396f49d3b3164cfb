/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conf_pack: a script's free `config` map from YAML to MessagePack, the form
 * in which it travels to the worker. It recurses, CONF_CONFIG_DEPTH at most.
 */
#include "broker/conf/conf_script.h"
#include "proto/pack.h"

static void pack_scalar(const struct yaml_node *node, struct buf *out)
{
	struct yaml_value v = yaml_core(node);

	switch (v.type) {
	case YAML_NULL:
		pack_nil(out);
		break;
	case YAML_BOOL:
		pack_bool(out, v.b);
		break;
	case YAML_INT:
		pack_int(out, v.i);
		break;
	case YAML_FLOAT:
		pack_double(out, v.f);
		break;
	case YAML_STR:
		pack_text(out, node->text);
		break;
	}
}

static void pack_key(const struct yaml_node *key, struct buf *out)
{
	struct yaml_value v = yaml_core(key);

	if (v.type == YAML_INT)
		pack_int(out, v.i);
	else
		pack_text(out, key->text);
}

static int pack_node(struct conf_reader *r, const struct yaml_node *node,
		     unsigned depth, struct buf *out)
{
	const struct yaml_node *it;
	int rc = 0;

	if (node->kind == YAML_SCALAR) {
		pack_scalar(node, out);
		return 0;
	}
	if (depth == 0)
		return conf_wrong(r, node,
				  "config: nested too deep, expected at most "
				  "%d levels",
				  CONF_CONFIG_DEPTH);
	if (node->kind == YAML_MAP)
		pack_map(out, node->n);
	else
		pack_array(out, node->n);
	for (it = node->child; it && rc == 0; it = it->next) {
		if (it->key)
			pack_key(it->key, out);
		rc = pack_node(r, it, depth - 1, out);
	}
	return rc;
}

int conf_pack(struct conf_reader *r, const struct yaml_node *node,
	      struct buf *out)
{
	int rc = pack_node(r, node, CONF_CONFIG_DEPTH, out);

	return rc == 0 && buf_error(out) ? ERR_NOMEM : rc;
}
