count("close")
