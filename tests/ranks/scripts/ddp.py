"""Data-parallel training on the CPU, as PyTorch's tutorials write it; it has never heard of sgdb."""

import argparse
import hashlib
import time

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

parser = argparse.ArgumentParser()
parser.add_argument("--steps", type=int, default=40)
parser.add_argument("--slow", type=float, default=0.0, help="seconds that rank 1 works longer in each step")
parser.add_argument("--hang", type=int, default=-1, help="step at which rank 1 hangs")
parser.add_argument("--fail", type=int, default=-1, help="step at which rank 1 raises")
parser.add_argument("--log", action="store_true", help="average the loss over all ranks after each step")
parser.add_argument("--norm", action="store_true", help="a model whose buffers are the same on all ranks")
args = parser.parse_args()

dist.init_process_group("gloo")
rank = dist.get_rank()
torch.manual_seed(0)
hidden = nn.BatchNorm1d(64) if args.norm else nn.ReLU()
model = DistributedDataParallel(nn.Sequential(nn.Linear(20, 64), hidden, nn.Linear(64, 1)))
optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
generator = torch.Generator().manual_seed(rank)
for step in range(args.steps):
    x = torch.randn(32, 20, generator=generator)
    if rank == 1 and args.slow:
        time.sleep(args.slow)
    if rank == 1 and step == args.hang:
        time.sleep(1000)
    if rank == 1 and step == args.fail:
        raise ValueError("mine")
    optimizer.zero_grad()
    loss = nn.functional.mse_loss(model(x), x.sum(1, keepdim=True))
    loss.backward()
    optimizer.step()
    if args.log:
        dist.all_reduce(loss.detach())
state = b"".join(p.detach().numpy().tobytes() for p in model.parameters())
print(
    f"rank {rank}: {hashlib.sha256(state).hexdigest()}\n", end="", flush=True
)  # one write: ranks share a pipe
dist.barrier()  # gloo may abort a rank whose peer is gone already
dist.destroy_process_group()
