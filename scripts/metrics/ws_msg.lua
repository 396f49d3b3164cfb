count("ws_msg", ws.direction .. "." .. ws.opcode_name)
