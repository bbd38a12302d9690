"""transformers' Trainer on a small BERT, which calls the model with keywords and computes the loss inside of it."""

import torch
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments, set_seed

torch.set_num_threads(1)
set_seed(0)
config = BertConfig(
    vocab_size=50,
    hidden_size=16,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=32,
    num_labels=2,
    max_position_embeddings=16,
)
model = BertForSequenceClassification(config)
rows = [
    {
        "input_ids": torch.randint(0, 50, (8,)),
        "labels": torch.tensor(i % 2),
        "attention_mask": torch.ones(8).long(),
    }
    for i in range(64)
]
arguments = TrainingArguments(
    output_dir="out",
    num_train_epochs=3,
    per_device_train_batch_size=8,
    gradient_accumulation_steps=2,
    learning_rate=1e-3,
    eval_strategy="epoch",
    save_strategy="epoch",
    report_to=[],
    use_cpu=True,
    disable_tqdm=True,
    seed=0,
)
trainer = Trainer(model=model, args=arguments, train_dataset=rows, eval_dataset=rows[:16])
result = trainer.train()
print("final", [p.double().sum().item() for p in model.parameters()][:4], torch.get_rng_state().sum().item())
print("final", trainer.evaluate()["eval_loss"])
