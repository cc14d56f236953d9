"""The doors that are tried: a module each, with `make(name, folder)`. A worker imports one, under its fuzzer's eyes."""
