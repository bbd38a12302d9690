"""Lightning as its users use it: closures, a progress bar, checkpoints, clipping and accumulation."""

import lightning as L
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class Classifier(L.LightningModule):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3))

    def training_step(self, batch, index):
        x, y = batch
        loss = nn.functional.cross_entropy(self.net(x), y)
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch, index):
        x, y = batch
        self.log("val_loss", nn.functional.cross_entropy(self.net(x), y))

    def configure_optimizers(self):
        optimizer = torch.optim.AdamW(self.parameters(), lr=1e-2)
        return {"optimizer": optimizer, "lr_scheduler": torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)}


L.seed_everything(0, verbose=False)
torch.set_num_threads(1)
x = torch.randn(96, 8)
y = x[:, :3].argmax(1)
train = DataLoader(TensorDataset(x, y), 16, shuffle=True)
val = DataLoader(TensorDataset(x[:32], y[:32]), 16)
model = Classifier()
trainer = L.Trainer(
    max_epochs=4,
    accelerator="cpu",
    gradient_clip_val=1.0,
    accumulate_grad_batches=2,
    enable_model_summary=False,
    log_every_n_steps=1,
)
trainer.fit(model, train, val)
print([p.double().sum().item() for p in model.parameters()], torch.get_rng_state().sum().item())
print(trainer.callback_metrics["val_loss"].item())
