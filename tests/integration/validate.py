#!/usr/bin/env python3
"""Validates records against the schema: one long-lived process for a whole test executable.

usage: validate.py SCHEMA
Reads "LENGTH\\n" and then LENGTH bytes of JSON, again and again; answers each with one line: "ok", or what is wrong.
"""
import json
import sys

try:
    from jsonschema import Draft202012Validator
except ImportError:
    print("python3-jsonschema is not installed", flush=True)
    sys.exit(77)

with open(sys.argv[1], encoding="utf-8") as file:
    schema = json.load(file)
Draft202012Validator.check_schema(schema)
validator = Draft202012Validator(schema)
print("ready", flush=True)

requests = sys.stdin.buffer
while head := requests.readline():
    text = requests.read(int(head))
    try:
        errors = [f"{'.'.join(map(str, e.absolute_path)) or 'record'}: {e.message}"
                  for e in validator.iter_errors(json.loads(text.decode("utf-8")))]
    except ValueError as error:
        errors = [f"not JSON in UTF-8: {error}"]
    print("; ".join(errors).replace("\n", " ") or "ok", flush=True)
