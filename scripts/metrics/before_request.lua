count("before_request", host())
