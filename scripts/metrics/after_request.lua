count("after_request", host())
