count("connect")
