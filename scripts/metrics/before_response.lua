count("before_response", host())
