# SPDX-License-Identifier: Apache-2.0
"""Helpers that tests share: real processes, servers and clients on loopback."""
