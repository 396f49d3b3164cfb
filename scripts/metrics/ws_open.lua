count("ws_open")
