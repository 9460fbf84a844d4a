"""Plain PyTorch doing the steps of LRC 10 % on a Llama GGUF: what our own run's time is measured against.

Rotations, second moments, Init-LR, retargeting, clip search and GPTQ, Update-LR: block by block, layer by layer, with batched
tensors and all of PyTorch's threads. Products of activations in float32, flushed into float64; Cholesky, triangular solves and
eigenproblems in float64; GPTQ's column loop in blocks of 128, as published. R1 and R4 have the size of the real rotations, but
their small factors are random orthogonal matrices: the work is the same.

What `lrc quantize` records of each layer is recorded here, too: its loss on the calibration tokens and on a held-out window, the loss
of GPTQ without a correction and what of it the weights and the activations cost alone, the spectrum of the weight error. The seconds
of these are the stage "measure" (but for the held-out window's pass, which is one of the "calibrate" stage's).

It prints the seconds of each stage and the mean relative error of the layers, which must be that of `lrc quantize` but for
rounding and the other rotation. Run it by tests/yardstick/run.sh.
"""

import argparse
import json
import math
import subprocess
import sys
import time
from pathlib import Path

import gguf
import numpy as np
import torch

F32, F64 = torch.float32, torch.float64
ROLES = {"q": "attn_q", "k": "attn_k", "v": "attn_v", "o": "attn_output", "gate": "ffn_gate", "up": "ffn_up", "down": "ffn_down"}
SITES = {"attention_input": ("q", "k", "v"), "attention_output": ("o",), "mlp_input": ("gate", "up"), "mlp_hidden": ("down",)}


class Clock:
    def __init__(self):
        self.seconds, self.mark = {}, time.perf_counter()

    def lap(self, stage):
        now = time.perf_counter()
        self.seconds[stage] = self.seconds.get(stage, 0.0) + now - self.mark
        self.mark = now


class Model:
    """The tensors of a GGUF file, dequantized to float32, with the rows of q and k in half-split order."""

    def __init__(self, path):
        reader = gguf.GGUFReader(path)
        self.tensors = {tensor.name: tensor for tensor in reader.tensors}

        def number(key):
            return reader.fields["llama." + key].contents()

        self.hidden, self.feed_forward = number("embedding_length"), number("feed_forward_length")
        self.blocks, self.heads, self.kv_heads = number("block_count"), number("attention.head_count"), number("attention.head_count_kv")
        self.epsilon, self.theta = number("attention.layer_norm_rms_epsilon"), number("rope.freq_base")
        self.head_dim = self.hidden // self.heads

    def read(self, name):
        tensor = self.tensors[name]
        values = torch.from_numpy(np.ascontiguousarray(gguf.dequantize(tensor.data, tensor.tensor_type), dtype=np.float32))
        for part, heads in (("attn_q.", self.heads), ("attn_k.", self.kv_heads)):
            if part in name:
                values = values.reshape(heads, self.head_dim // 2, 2, -1).transpose(1, 2).reshape(values.shape).contiguous()
        return values

    def block(self, index):
        weights = {role: self.read(f"blk.{index}.{name}.weight") for role, name in ROLES.items()}
        norms = [self.read(f"blk.{index}.{name}.weight") for name in ("attn_norm", "ffn_norm")]
        return weights, norms


def sylvester(order):
    matrix = torch.ones(1, 1, dtype=F64)
    while len(matrix) < order:
        matrix = torch.cat([torch.cat([matrix, matrix], 1), torch.cat([matrix, -matrix], 1)])
    return matrix / math.sqrt(order)


def orthogonal(order, seed):
    return torch.linalg.qr(torch.randn(order, order, dtype=F64, generator=torch.Generator().manual_seed(seed)))[0]


class Rotation:
    """R1 (hidden) and R2 (heads) folded into the weights, R4 (feed-forward) applied on the way as small ⊗ Sylvester."""

    def __init__(self, model):
        self.r1 = orthogonal(model.hidden, 1)
        self.r2 = sylvester(model.head_dim)
        power = model.feed_forward & -model.feed_forward
        self.small, self.large = orthogonal(model.feed_forward // power, 2), sylvester(power)

    def r4(self, x):
        shape = x.shape
        small, large = self.small.to(x.dtype), self.large.to(x.dtype)
        x = x.reshape(-1, len(small), len(large)) @ large
        return torch.einsum("tab,ac->tcb", x, small).reshape(shape)

    def fold(self, weights, norms, heads, kv_heads):
        w = {role: weight.to(F64) for role, weight in weights.items()}
        for role in ("q", "k", "v"):
            w[role] = (w[role] * norms[0].to(F64)) @ self.r1
        for role in ("gate", "up"):
            w[role] = (w[role] * norms[1].to(F64)) @ self.r1
        w["v"] = (self.r2.T @ w["v"].reshape(kv_heads, len(self.r2), -1)).reshape(w["v"].shape)
        w["o"] = (w["o"].reshape(len(w["o"]), heads, -1) @ self.r2).reshape(w["o"].shape)
        w["o"], w["down"] = self.r1.T @ w["o"], self.r4(self.r1.T @ w["down"])
        return {role: weight.to(F32) for role, weight in w.items()}


def quantized(x, clip):
    """Symmetric int4 a token."""
    scale = x.abs().amax(-1, keepdim=True) * (clip / 7)
    return torch.where(scale == 0, torch.zeros_like(x), torch.clamp(torch.round(x / scale), -8, 7) * scale)


class Moments:
    """S_y, S_ey, S_e of one input."""

    def __init__(self, width):
        self.y, self.ey, self.e = (torch.zeros(width, width, dtype=F64) for _ in range(3))

    def add(self, x, clip):
        for part in x.split(2048):
            y = quantized(part, clip)
            e = y - part
            self.y += (y.T @ y).to(F64)
            self.ey += (e.T @ y).to(F64)
            self.e += (e.T @ e).to(F64)

    def x(self):
        return self.y - self.ey - self.ey.T + self.e


def rms(x, epsilon):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + epsilon)


def rope(x, cosine, sine):
    half = x.shape[-1] // 2
    return x * cosine + torch.cat([-x[..., half:], x[..., :half]], -1) * sine


def run_block(model, rotation, w, x, angles, see):
    """One block on x (windows, tokens, hidden); see(site, rows) gets the input of every site."""
    batch, tokens, _ = x.shape

    def heads(y, count):
        return y.view(batch, tokens, count, model.head_dim).transpose(1, 2)

    norm = rms(x, model.epsilon)
    see("attention_input", norm)
    q, k = (rope(heads(norm @ w[role].T, count), *angles) for role, count in (("q", model.heads), ("k", model.kv_heads)))
    v = heads(norm @ w["v"].T, model.kv_heads)
    mixed = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
    mixed = mixed.transpose(1, 2).reshape(batch, tokens, -1)
    see("attention_output", mixed)
    x = x + mixed @ w["o"].T
    norm = rms(x, model.epsilon)
    see("mlp_input", norm)
    wide = rotation.r4(torch.nn.functional.silu(norm @ w["gate"].T) * (norm @ w["up"].T))
    see("mlp_hidden", wide)
    return x + wide @ w["down"].T


class Site:
    """What depends on the input alone: factors of the damped moments (damping 0.01 of the mean diagonal)."""

    def __init__(self, m):
        self.moments = m
        n = len(m.y)
        eye = torch.eye(n, dtype=F64)
        s_x = m.x()
        ex, ey = 0.01 * s_x.trace() / n, 0.01 * m.y.trace() / n
        self.s_x, self.s_y, self.s_xy = s_x + ex * eye, m.y + ey * eye, m.y - m.ey
        self.lower_y, self.lower_x = torch.linalg.cholesky(self.s_y), torch.linalg.cholesky(self.s_x)
        k = torch.linalg.solve_triangular(self.lower_y, (m.ey + ey * eye).T, upper=False)
        self.lower_xy = torch.linalg.cholesky(m.e + (ex + ey) * eye - k.T @ k)


def truncated(p, lower, rank):
    """[p]_rank lower⁻¹ by the eigenproblem of the smaller side."""
    tall = p.shape[0] > p.shape[1]
    vectors = torch.linalg.eigh(p.T @ p if tall else p @ p.T)[1][:, -rank:]
    u, right = (p @ vectors, vectors) if tall else (vectors, p.T @ vectors)
    return u, torch.linalg.solve_triangular(lower.T, right, upper=True)


def fit_scales(w):
    """Of 80 shrunken scales the one with the smallest Σ |error|^2.4, a row at a time."""
    scale = w.abs().amax(1, keepdim=True) / 7
    best, best_scale = torch.full_like(scale, math.inf), scale.clone()
    for step in range(80):
        tried = scale * (1 - step / 100)
        error = (torch.clamp(torch.round(w / tried), -8, 7) * tried - w).abs_().pow_(2.4).sum(1, keepdim=True)
        better = error < best
        best, best_scale = torch.where(better, error, best), torch.where(better, tried, best_scale)
    return best_scale.to(torch.float16).to(w.dtype)


def gptq(target, hessian):
    """The column loop as published: blocks of 128, float32."""
    scale = fit_scales(target.to(F32))
    n = target.shape[1]
    damped = hessian + 0.01 * hessian.diagonal().mean() * torch.eye(n, dtype=F64)
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(damped))
    factor = torch.linalg.cholesky(inverse, upper=True).to(F32)
    w, result = target.to(F32).clone(), torch.zeros(target.shape, dtype=F32)
    for begin in range(0, n, 128):
        end = min(begin + 128, n)
        part, errors = w[:, begin:end].clone(), torch.zeros(len(w), end - begin)
        square = factor[begin:end, begin:end]
        for j in range(end - begin):
            column = part[:, j]
            q = torch.clamp(torch.round(column / scale[:, 0]), -8, 7) * scale[:, 0]
            result[:, begin + j] = q
            error = (column - q) / square[j, j]
            part[:, j:] -= torch.outer(error, square[j, j:])
            errors[:, j] = error
        w[:, end:] -= errors @ factor[begin:end, end:]
    return result.to(F64)


def norm_of(a, s):
    return float(((a @ s) * a).sum())


def loss_of(rest, codes, m):
    difference = rest - codes
    return norm_of(difference, m.y) - 2 * float(((rest @ m.ey) * difference).sum()) + norm_of(rest, m.e)


def solve_layer(weight, site, rank):
    """LRC(1). Returns W, Ŵ, U, V."""
    w = weight.to(F64)
    u, v = truncated(w @ site.lower_xy, site.lower_xy, rank)
    target = torch.cholesky_solve(((w - u @ v.T) @ site.s_xy).T, site.lower_y).T
    codes = gptq(target, site.s_y)
    residual = torch.linalg.solve_triangular(site.lower_x, (codes @ site.s_xy.T).T, upper=False).T
    u, v = truncated(w @ site.lower_x - residual, site.lower_x, rank)
    u, v = (factor.to(torch.float16).to(F64) for factor in (u, v))
    return w, codes, u, v


def measure_layer(solution, site, held_out):
    """What is recorded of a layer; returns its loss relative to ‖W X‖²."""
    w, codes, u, v = solution
    m, rest = site.moments, w - u @ v.T
    s_x = m.x()
    plain = gptq(w, s_x)
    error = w - plain
    record = {
        "norm": norm_of(w, s_x), "loss": loss_of(rest, codes, m), "uncorrected": loss_of(w, plain, m), "weights": norm_of(error, s_x),
        "activations": norm_of(w, m.e), "held_out": loss_of(rest, codes, held_out), "held_out_norm": norm_of(w, held_out.x()),
        "spectrum": torch.linalg.eigvalsh(error @ error.T if len(error) <= error.shape[1] else error.T @ error),
    }
    return record["loss"] / record["norm"]


def read_ids(options):
    """The same tokens as `lrc quantize` takes: windows from the start of the calibration text, and the next one held out."""
    command = [options.lrc, "--json", "tokenize", options.model, "--file", options.text]
    answer = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    ids = torch.tensor(answer["ids"] if isinstance(answer, dict) else answer)
    windows = -(-options.tokens // options.context) + 1
    if len(ids) < windows * options.context:
        sys.exit(f"{options.text} has only {len(ids)} tokens.")
    return ids[: windows * options.context].view(windows, options.context)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="a Llama GGUF file")
    parser.add_argument("--lrc", required=True, help="our program, for the tokens")
    parser.add_argument("--text", required=True)
    parser.add_argument("--tokens", type=int, default=65536)
    parser.add_argument("--context", type=int, default=2048)
    parser.add_argument("--batch", type=int, default=4, help="windows in one forward pass")
    parser.add_argument("--blocks", type=int, default=0, help="only the first ones; 0 = all")
    parser.add_argument("--clip", type=float, default=0.9)
    parser.add_argument("--threads", type=int, default=0, help="0 = as PyTorch chooses")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    torch.set_grad_enabled(False)
    ids = read_ids(options)

    clock = Clock()
    model = Model(Path(options.model))
    rotation = Rotation(model)
    hidden = (model.read("token_embd.weight")[ids].to(F64) @ rotation.r1).to(F32)
    frequency = model.theta ** -(torch.arange(0, model.head_dim, 2, dtype=F64) / model.head_dim)
    angle = torch.outer(torch.arange(options.context, dtype=F64), frequency).repeat(1, 2)
    angles = angle.cos().to(F32), angle.sin().to(F32)
    clock.lap("open")
    losses = []
    for index in range(min(options.blocks or model.blocks, model.blocks)):
        weights, norms = model.block(index)
        w = rotation.fold(weights, norms, model.heads, model.kv_heads)
        clock.lap("rotate")
        moments = {site: Moments(model.feed_forward if site == "mlp_hidden" else model.hidden) for site in SITES}
        held_out = {site: Moments(len(moments[site].y)) for site in SITES}
        hidden = torch.cat([
            run_block(model, rotation, w, part, angles, lambda site, x: to[site].add(x.reshape(-1, x.shape[-1]), options.clip))
            for windows, to in ((hidden[:-1], moments), (hidden[-1:], held_out)) for part in windows.split(options.batch)
        ])
        clock.lap("calibrate")
        for name, roles in SITES.items():
            site = Site(moments.pop(name))
            for role in roles:
                solution = solve_layer(w[role], site, max(1, min(w[role].shape) // 10))
                clock.lap("solve")
                losses.append(measure_layer(solution, site, held_out[name]))
                clock.lap("measure")
    print(json.dumps({
        "torch": torch.__version__, "threads": torch.get_num_threads(), "tokens": ids.numel(), "layers": len(losses),
        "mean_loss": sum(losses) / len(losses), "seconds": {k: round(v, 2) for k, v in clock.seconds.items()},
        "total": round(sum(clock.seconds.values()), 2),
    }, indent=1))


if __name__ == "__main__":
    main()
