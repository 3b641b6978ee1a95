"""chat.py TRAINING_FILE QUESTION: trains a chat model, asks it, and deletes it."""

import sys
import time

import openai

training_path, question = sys.argv[1:]

with open(training_path, "rb") as training:
    file = openai.File.create(file=training, purpose="fine-tune")
print("file", file.status, file.id in [one.id for one in openai.File.list().data])

job = openai.FineTuningJob.create(
    training_file=file.id,
    model="gpt-3.5-turbo",
    suffix="shop",
    hyperparameters={"n_epochs": 2},
)
while job.status not in ("succeeded", "failed", "cancelled"):
    time.sleep(0.1)
    job = openai.FineTuningJob.retrieve(job.id)
print("job", job.status, job.id in [one.id for one in openai.FineTuningJob.list(limit=5).data])
for event in reversed(openai.FineTuningJob.list_events(id=job.id, limit=50).data):
    print("event", event.message)

messages = [{"role": "user", "content": question}]
answer = openai.ChatCompletion.create(
    model=job.fine_tuned_model, messages=messages, temperature=0, max_tokens=50
)
print("answer", answer["choices"][0]["message"]["content"])
stream = openai.ChatCompletion.create(model=job.fine_tuned_model, messages=messages, stream=True)
print("stream", "".join(chunk.choices[0].delta.get("content", "") for chunk in stream))

second = openai.FineTuningJob.create(training_file=file.id, model="gpt-3.5-turbo")
print("cancelled", openai.FineTuningJob.cancel(second.id).status)

print("deleted", openai.Model.delete(job.fine_tuned_model).deleted)
try:
    openai.ChatCompletion.create(model=job.fine_tuned_model, messages=messages)
except openai.error.InvalidRequestError as error:
    print("gone", error.code)
