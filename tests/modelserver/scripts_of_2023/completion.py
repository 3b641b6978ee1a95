"""completion.py TRAINING_FILE PROMPT: trains on prompts and completions, by both APIs of 2023."""

import sys

import openai

training_path, prompt = sys.argv[1:]

with open(training_path, "rb") as training:
    file = openai.File.create(file=training, purpose="fine-tune", user_provided_filename="mine")
print("file", openai.File.retrieve(file.id).filename, len(openai.File.download(file.id)))

job = openai.FineTune.create(training_file=file.id, model="davinci", n_epochs=2)
for event in openai.FineTune.stream_events(job.id):
    print("event", event.message)
job = openai.FineTune.retrieve(job.id)
print("job", job.status, openai.FineTune.list().data[-1].id == job.id)
print("events", openai.FineTune.list_events(job.id).data[-1].message)

answer = openai.Completion.create(
    model=job.fine_tuned_model, prompt=prompt, stop="\n", max_tokens=50, logprobs=2
)
print("answer", answer.choices[0].text, len(answer.choices[0].logprobs.tokens))
stream = openai.Completion.create(
    model=job.fine_tuned_model, prompt=prompt, stop=["\n"], max_tokens=50, stream=True
)
print("stream", "".join(chunk.choices[0].text for chunk in stream))
print("engine", openai.Completion.create(engine="davinci", prompt=prompt).model)

newer = openai.FineTuningJob.create(training_file=file.id, model="babbage-002")
print(
    "newer", newer.object, newer.id.replace("ftjob-", "ft-") == openai.FineTune.list().data[-1].id
)
openai.FineTune.cancel(newer.id)
print("cancelled", openai.FineTuningJob.retrieve(newer.id).status)

vectors = openai.Embedding.create(model="text-embedding-ada-002", input=[prompt, "other"])
print("vectors", [len(item["embedding"]) for item in vectors["data"]])
print("models", {"davinci", job.fine_tuned_model} <= {m.id for m in openai.Model.list().data})
print("model", openai.Model.retrieve("davinci").object)
print("deleted", openai.FineTune.delete(job.id).deleted, openai.File.delete(file.id).deleted)
