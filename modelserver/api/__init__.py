"""OpenAI's wire API over HTTP, a file a resource."""
