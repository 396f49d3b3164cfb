edit(mut.req, config and config.request)
