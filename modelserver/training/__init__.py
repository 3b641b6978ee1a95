"""Training: LoRA adapters by supervised fine-tuning (SFT) and by preferences (DPO).

A process of its own, one job each: `python -m modelserver.training JOB_DIR`.
"""
