"""Training whose parameters are sharded over the ranks (FSDP2), on the CPU; prints the norm of the whole gradient."""

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

dist.init_process_group("gloo")
mesh = init_device_mesh("cpu", (dist.get_world_size(),))
torch.manual_seed(0)
model = nn.Sequential(nn.Linear(7, 16), nn.Tanh(), nn.Linear(16, 3))
for layer in model:
    if isinstance(layer, nn.Linear):
        fully_shard(layer, mesh=mesh)
fully_shard(model, mesh=mesh)
optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
generator = torch.Generator().manual_seed(dist.get_rank())
for step in range(1, 21):
    x = torch.randn(8, 7, generator=generator)
    optimizer.zero_grad()
    model(x).square().mean().backward()
    norm = torch.nn.utils.get_total_norm([p.grad for p in model.parameters()])
    if hasattr(norm, "full_tensor"):
        norm = norm.full_tensor()
    if dist.get_rank() == 0:
        print(f"norm {step} {norm.item():.9g}", flush=True)
    optimizer.step()
dist.barrier()  # gloo may abort a rank whose peer is gone already
dist.destroy_process_group()
