"""The results of gpu_suite.py as Markdown."""

from typing import Any


def tables(results: dict[str, Any]) -> str:
    """All parts that have results."""
    lines = [f"# GPU suite: {results['device']}, torch {results['torch']}", ""]
    if results["dry_run"]:
        lines += ["A dry run on a CPU, in small: the times mean nothing.", ""]
    if "correctness" in results:
        lines += ["| network, coordinates | step | window gradient | within 1e-4 |", "|---|---|---|---|"]
        for name, case in results["correctness"].items():
            if name != "ok":
                lines.append(f"| {name} | {case['step']:.1e} | {case['window']:.1e} | {case['ok']} |")
        lines.append("")
    if "timings" in results:
        timings = results["timings"]
        lines += [f"Best of {timings['rounds']} rounds, floor {1e3 * timings['floor_s']:.2f} ms.", ""]
        lines += ["| work | ms |", "|---|---|"]
        lines += [f"| {name} | {1e3 * s:.3f} |" for name, s in timings["seconds"].items()]
        keys = ("ratio_to_floor", "speedup_vs_reference", "many_tasks_vs_one", "matrix_speedup_vs_loop")
        lines += ["", *(f"- {key}: {timings[key]:.2f}" for key in keys), ""]
    for tasks, found in results.get("programs", {}).items():
        lines += [f"A meta-iteration, {tasks}: {found['ms']:.2f} ms in {found['launches']:.0f} launches", ""]
        lines += ["| program | launches | us | ms |", "|---|---|---|---|"]
        for name, each in found["programs"].items():
            lines.append(f"| {name} | {each['launches']:.0f} | {each['us']:.1f} | {each['ms']:.3f} |")
        lines.append("")
    for part in ("recorded", "recorded_steps", "train", "failed"):
        if results.get(part):
            lines += [f"## {part}", "", *(f"- {key}: {value}" for key, value in results[part].items()), ""]
    return "\n".join(lines)
