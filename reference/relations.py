"""Writes goldens/relations.safetensors: MiniLMv2's loss of self-attention relations and its gradient by
the student's queries, keys and values, in float64, stored as float32.

usage: python reference/relations.py
"""

from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file

OUT = Path(__file__).parent.parent / "goldens" / "relations.safetensors"
HIDDEN, TEACHER, LENGTHS = 52, 64, [1, 2, 5, 9, 17]


def relations(x, heads):
    """log softmax(X X' / sqrt(width)) of each head of one text; (heads, n, n)."""
    x = x.reshape(len(x), heads, -1).transpose(0, 1)
    return F.log_softmax(x @ x.transpose(1, 2) / x.shape[-1] ** 0.5, dim=-1)


def loss_of(student, teacher, heads):
    total = 0.0
    for x, y in zip(student.chunk(3, dim=-1), teacher.chunk(3, dim=-1)):
        wanted, found = relations(y, heads), relations(x, heads)
        total = total + F.kl_div(found, wanted, reduction="sum", log_target=True) / (heads * len(x))
    return total


torch.manual_seed(13)
draw = lambda width: (0.7 * torch.randn(sum(LENGTHS), 3 * width)).double()
student, teacher = draw(HIDDEN).requires_grad_(), draw(TEACHER)
tensors = {"student": student, "teacher": teacher, "lengths": torch.tensor(LENGTHS)}
for heads in (1, 2, 4):
    pairs = zip(student.split(LENGTHS), teacher.split(LENGTHS))
    losses = torch.stack([loss_of(x, y, heads) for x, y in pairs])
    (d_student,) = torch.autograd.grad(losses.mean(), student)
    tensors |= {f"{heads}.losses": losses, f"{heads}.d_student": d_student}
save_file({n: t.detach().to(torch.float32).contiguous().clone() for n, t in tensors.items()}, OUT)
print(OUT.name, OUT.stat().st_size, "bytes")
