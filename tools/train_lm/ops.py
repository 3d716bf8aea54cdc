"""Operations of the training loop that plain PyTorch spends most of its time on, written with their gradients.

Each replaces a chain of element-wise passes over large tensors by as few as the arithmetic needs. On two shared cores
that is the difference between an evening and a night.
"""
import torch
from torch.autograd import Function


class RMSNorm(Function):
    """x [..., size] float32 -> x / rms(x) * weight in `dtype`."""

    @staticmethod
    def forward(ctx, x, weight, eps, dtype):
        inverse = torch.linalg.vector_norm(x, dim=-1, keepdim=True).square_().div_(x.shape[-1]).add_(eps).rsqrt_()
        ctx.save_for_backward(x, weight, inverse)
        return (x * inverse).mul_(weight).to(dtype)

    @staticmethod
    def backward(ctx, grad):
        x, weight, inverse = ctx.saved_tensors
        normal = x * inverse
        scaled = grad * normal                                  # float32, whatever the gradient's type
        grad_weight = scaled.flatten(0, -2).sum(0)
        dot = scaled.mul_(weight).mean(-1, keepdim=True)
        return (grad * weight).sub_(normal.mul_(dot)).mul_(inverse), grad_weight, None, None


class Rotate(Function):
    """Rotary embedding: x [rows, length, heads, dim] float32 -> [rows, heads, length, dim] in `dtype`.

    cos and sin are [length, 1, dim / 2]; the pairs are (i, i + dim / 2).
    """

    @staticmethod
    def turn(x, cos, sin, sign):
        a, b = x.unflatten(-1, (2, -1)).unbind(-2)
        out = x.new_empty(*x.shape[:-1], 2, x.shape[-1] // 2)
        torch.mul(a, cos, out=out.select(-2, 0)).addcmul_(b, sin, value=-sign)
        torch.mul(b, cos, out=out.select(-2, 1)).addcmul_(a, sin, value=sign)
        return out.flatten(-2)

    @staticmethod
    def forward(ctx, x, cos, sin, dtype):
        ctx.save_for_backward(cos, sin)
        return Rotate.turn(x, cos, sin, 1).transpose(1, 2).to(dtype, memory_format=torch.contiguous_format)

    @staticmethod
    def backward(ctx, grad):
        cos, sin = ctx.saved_tensors
        return Rotate.turn(grad.transpose(1, 2).float(), cos, sin, -1), None, None, None


class Attend(Function):
    """Causal softmax attention of q, k, v [rows, heads, length, dim] with an additive mask [rows, 1, length, length] of their type.

    Queries go BLOCK at a time and see only the keys up to their own end.
    """

    BLOCK = 128

    @staticmethod
    def forward(ctx, q, k, v, mask):
        ctx.scale = q.shape[-1] ** -0.5
        q = q * ctx.scale
        out, probabilities = torch.empty_like(q), []
        for at in range(0, q.shape[2], Attend.BLOCK):
            end = at + Attend.BLOCK
            scores = q[:, :, at:end] @ k[:, :, :end].transpose(-1, -2)
            probabilities.append(scores.add_(mask[:, :, at:end, :end]).softmax(-1))
            out[:, :, at:end] = probabilities[-1] @ v[:, :, :end]
        ctx.save_for_backward(q, k, v, *probabilities)
        return out

    @staticmethod
    def backward(ctx, grad):
        q, k, v, *probabilities = ctx.saved_tensors
        grad_q, grad_k, grad_v = torch.empty_like(q), torch.zeros_like(k), torch.zeros_like(k)
        for n, p in enumerate(probabilities):
            at, end = n * Attend.BLOCK, n * Attend.BLOCK + p.shape[2]
            g = grad[:, :, at:end]
            scores = torch.ops.aten._softmax_backward_data(g @ v[:, :, :end].transpose(-1, -2), p, -1, p.dtype)
            grad_q[:, :, at:end] = scores @ k[:, :, :end]
            grad_k[:, :, :end] += scores.transpose(-1, -2) @ q[:, :, at:end]
            grad_v[:, :, :end] += p.transpose(-1, -2) @ g
        return grad_q.mul_(ctx.scale), grad_k, grad_v, None


class CrossEntropy(Function):
    """Mean cross-entropy of logits [n, vocab] against targets [n], -100 left out; a few rows at a time stay in cache."""

    ROWS = 64

    @staticmethod
    def forward(ctx, logits, targets):
        grad = torch.empty_like(logits)
        real = targets >= 0
        share = real.float() / real.sum()
        picked = targets.clamp_min(0)
        total = torch.zeros(())
        for at in range(0, len(targets), CrossEntropy.ROWS):
            rows = slice(at, at + CrossEntropy.ROWS)
            x = logits[rows].to(torch.float32, copy=True)
            index = picked[rows, None]
            normal = x.logsumexp(-1, keepdim=True)
            total += ((normal - x.gather(1, index))[:, 0] * share[rows]).sum()
            x.sub_(normal).exp_().scatter_add_(1, index, x.new_full(index.shape, -1.0))
            grad[rows] = x.mul_(share[rows, None])
        ctx.save_for_backward(grad)
        return total

    @staticmethod
    def backward(ctx, grad_total):
        return ctx.saved_tensors[0].mul_(grad_total), None
