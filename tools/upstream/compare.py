"""Comparisons of what ttsft wrote or reported with what upstream computes."""
import math

import numpy as np
import torch

from upstream.harness import Mismatch

LOSS_TOLERANCE = 1e-4  # of two float32 implementations


def within(what, got, want, tolerance):
    got, want = np.asarray(got, np.float64), np.asarray(want, np.float64)
    if got.shape != want.shape:
        raise Mismatch(f"{what}: shape {got.shape}, upstream {want.shape}")
    difference = np.abs(got - want).max(initial=0)
    if not difference <= tolerance:
        raise Mismatch(f"{what}: differs by {difference:.3g} from upstream, allowed {tolerance:g}")
    return difference


def equal_codes(what, got, want):
    got, want = np.asarray(got), np.asarray(want)
    if got.shape != want.shape:
        raise Mismatch(f"{what}: {got.shape} codes, upstream {want.shape}")
    places = np.argwhere(got != want)
    if len(places):
        place = tuple(places[0])
        raise Mismatch(f"{what}: {len(places)} of {got.size} codes differ, first at"
                       f" {[int(i) for i in place]}: {got[place]}, upstream {want[place]}")
    return got.size


def summed(terms):
    """{term: (summed cross entropy, labels)} of the values of each label."""
    return {term: (values.sum().item(), len(values)) for term, values in terms.items()}


def adamw_steps(parameters, cross_entropies, weights, steps, learning_rate):
    """Steps of AdamW as ttsft takes them; the loss before each.

    cross_entropies() gives, per row, {term: the values of its labels}.
    """
    parameters, losses = list(parameters), []
    optimizer = torch.optim.AdamW(parameters, lr=learning_rate, weight_decay=0.01)
    for _ in range(steps):
        rows = cross_entropies()
        loss = sum(weight * torch.cat([row[term] for row in rows]).mean()
                   for term, weight in weights.items())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        losses.append(loss.item())
    return losses


def require_same_tensors(what, state, stored, optional=()):
    """Every stored tensor is one of the state with its value, and none is missing.

    optional: names that upstream makes itself where the file lacks them.
    """
    differing = sorted((state.keys() ^ stored.keys()) - set(optional))
    if differing:
        raise Mismatch(f"{what}: {len(differing)} names differ, first {differing[0]}")
    for name, value in stored.items():
        taken = state[name]
        if value.shape != taken.shape or not torch.equal(value.to(taken.dtype), taken):
            raise Mismatch(f"{what}: {name} is not what the file holds")
    return len(stored)


def require_same_kind(what, got, want):
    """The same keys, and under each a tensor of the same type and shape, or the same value."""
    if got.keys() != want.keys():
        raise Mismatch(f"{what}: keys {sorted(got)}, upstream {sorted(want)}")
    for key, value in want.items():
        if torch.is_tensor(value) != torch.is_tensor(got[key]):
            raise Mismatch(f"{what}: {key} is {type(got[key]).__name__}, upstream"
                           f" {type(value).__name__}")
        if not torch.is_tensor(value):
            same = got[key] == value
        else:
            same = (got[key].dtype, got[key].shape) == (value.dtype, value.shape)
        if not same:
            raise Mismatch(f"{what}: {key} is of another type, shape or value than upstream's")


def mean_losses(losses, weights):
    """{loss, loss_terms} of clips: each term's mean over all labels, then the weighted sum.

    losses: {term: (summed cross entropy, labels)} of each clip.
    """
    losses = list(losses)
    means = {}
    for term in weights:
        sums, labels = zip(*(clip[term] for clip in losses))
        means[term] = math.fsum(sums) / sum(labels)
    return {"loss": sum(weights[term] * mean for term, mean in means.items()), "loss_terms": means}


def compare_losses(what, reported, losses, weights):
    """A row of ttsft's report against upstream's losses of each clip: whole, then each."""
    clips = {clip["id"]: clip for clip in reported["utterances"]}
    if clips.keys() != losses.keys():
        raise Mismatch(f"{what}: clips {sorted(clips)}, upstream {sorted(losses)}")
    whole = mean_losses(losses.values(), weights)
    worst = compare_row(what, reported, whole)
    for name, loss in losses.items():
        mean = mean_losses([loss], weights)
        worst = max(worst, compare_row(f"{what}, clip {name}", clips[name], mean))
    labels = sum(count for loss in losses.values() for _, count in loss.values())
    if reported["tokens"] != labels:
        raise Mismatch(f"{what}: {reported['tokens']} supervised tokens, upstream {labels}")
    return whole["loss"], worst


def compare_row(what, got, want):
    worst = within(f"{what}: loss", got["loss"], want["loss"], LOSS_TOLERANCE)
    for term, value in want["loss_terms"].items():
        difference = within(f"{what}: {term}", got["loss_terms"][term], value, LOSS_TOLERANCE)
        worst = max(worst, difference)
    return worst


def tell_losses(before, after):
    if not after[0] < before[0] - 1e-3:
        raise Mismatch(f"training did not lower the loss: {before[0]:.5f} to {after[0]:.5f}")
    return (f"loss {before[0]:.5f} before and {after[0]:.5f} after, all terms and clips within"
            f" {max(before[1], after[1]):.1e}")
