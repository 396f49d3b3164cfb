# SPDX-License-Identifier: Apache-2.0
"""What pinfold_addon.py is made of.

client     the connection to the broker; knows nothing of mitmproxy
events     a flow as the map that a hook is sent
ops        what scripts changed, put into a flow
errorpage  mitmproxy's own error answers
state      what the addon keeps of a flow
"""
