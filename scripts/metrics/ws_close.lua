count("ws_close")
