"""Typed objects to messages and back; everything that comes in is checked here, field by field.

Every `decode_*` raises InvalidRequest, naming the field, where a message is malformed.
"""
