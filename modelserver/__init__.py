"""A model server with OpenAI's API for one machine: llama.cpp answers, LoRA trains."""
