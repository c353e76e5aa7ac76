"""The HTML page around the frames of `slider_html`; a module, so that every kind of installation carries it."""

from __future__ import annotations

from string import Template

__all__ = ["CURVES", "PAGE"]

# Filled in by facegen.show.widgets; everything that goes in is escaped there.
PAGE = Template(
    """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>$title</title>
<style>
:root { color-scheme: light dark; --paper: #fff; --ink: #222; --soft: #666; --rule: #ddd; --D: #0072b2; --G: #d55e00; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #17181a; --ink: #eee; --soft: #a5a5a5; --rule: #3a3b3d; --D: #56b4e9; --G: #f08a3c; }
}
* { box-sizing: border-box; }
[hidden] { display: none !important; }
body { margin: 0; padding: 12px; background: var(--paper); color: var(--ink); font: 16px/1.4 system-ui, sans-serif; }
main { max-width: max(320px, ${width}px); margin: 0 auto; }
h1 { font-size: 1.15rem; margin: 0 0 10px; overflow-wrap: anywhere; }
img.frame { display: block; width: 100%; height: auto; border-radius: 4px; }
#label { margin: 8px 0; min-height: 1.4em; font-variant-numeric: tabular-nums; }
#label span { color: var(--soft); margin-left: .6em; }
#controls { display: flex; gap: 10px; align-items: center; }
button { width: 48px; height: 44px; border: 1px solid var(--rule); border-radius: 8px; background: none;
  color: var(--ink); padding: 0; display: grid; place-items: center; cursor: pointer; }
button svg { width: 18px; height: 18px; fill: currentColor; }
button:disabled { opacity: .4; cursor: default; }
input { flex: 1; min-width: 0; height: 44px; margin: 0; accent-color: var(--D); }
figure { margin: 14px 0 0; }
figcaption, .axis { font-size: .85rem; color: var(--soft); }
.key::before { content: ""; display: inline-block; width: 18px; vertical-align: middle; margin: 0 5px 0 8px;
  border-top: 3px solid; }
.key.D::before { border-color: var(--D); }
.key.G::before { border-color: var(--G); border-top-style: dashed; }
#plot { position: relative; height: 110px; margin: 8px 6px 0 40px; cursor: pointer;
  border: solid var(--rule); border-width: 0 0 1px 1px; }
#plot svg { width: 100%; height: 100%; display: block; overflow: visible; }
.line { fill: none; stroke-width: 2; vector-effect: non-scaling-stroke; stroke-linejoin: round; }
.line.D { stroke: var(--D); }
.line.G { stroke: var(--G); stroke-dasharray: 7 3; }
.tick { position: absolute; right: calc(100% + 6px); transform: translateY(-50%); font-size: .75rem;
  color: var(--soft); }
.now { position: absolute; top: 0; bottom: 0; width: 1px; background: var(--soft); }
.dot { position: absolute; width: 11px; height: 11px; margin: -5.5px; border-radius: 50%;
  border: 2px solid var(--paper); }
.dot.D { background: var(--D); }
.dot.G { background: var(--G); }
.axis { display: flex; justify-content: space-between; gap: 8px; margin: 2px 6px 0 40px; text-align: center; }
</style>
<noscript><style>
img.frame[hidden] { display: block !important; margin-top: 8px; } #controls { display: none; }
</style></noscript>
</head>
<body>
<main>
<h1>$title</h1>
<div id="screen">
$frames
</div>
<p id="label" aria-live="polite"><b>$first_title</b><span>$first_details</span></p>
<div id="controls">
<button id="play" type="button" aria-label="Play" $disabled>
<svg viewBox="0 0 20 20"><path d="M4 2l13 8-13 8z"/></svg></button>
<input id="slider" type="range" min="0" max="$last" value="0" aria-label="Snapshot" autocomplete="off" $disabled>
</div>
$curves
</main>
<script id="data" type="application/json">$data</script>
<script>
"use strict";
(() => {
  const { labels, marks, pause } = JSON.parse(document.getElementById("data").textContent);
  const frames = document.querySelectorAll("img.frame");
  const slider = document.getElementById("slider");
  const play = document.getElementById("play");
  const label = document.getElementById("label");
  const plot = document.getElementById("plot");
  const last = frames.length - 1;
  const icons = { Play: "M4 2l13 8-13 8z", Pause: "M3 2h5v16H3zM12 2h5v16h-5z" };
  let current = 0;
  let timer = null;

  function show(index) {
    index = Math.max(0, Math.min(last, index));
    frames[current].hidden = true;
    frames[index].hidden = false;
    current = index;
    slider.value = index;
    slider.setAttribute("aria-valuetext", labels[index].title);
    label.querySelector("b").textContent = labels[index].title;
    label.querySelector("span").textContent = labels[index].details;
    if (!plot) return;
    plot.querySelector(".now").style.left = marks[index].x + "%";
    for (const name of ["D", "G"]) {
      const dot = plot.querySelector(".dot." + name);
      if (!dot) continue;
      dot.hidden = !(name in marks[index]);
      dot.style.left = marks[index].x + "%";
      dot.style.top = marks[index][name] + "%";
    }
  }

  function running(on) {
    clearInterval(timer);
    timer = on ? setInterval(() => { if (current < last) show(current + 1); else running(false); }, pause) : null;
    const name = on ? "Pause" : "Play";
    play.setAttribute("aria-label", name);
    play.querySelector("path").setAttribute("d", icons[name]);
  }

  function go(index) { running(false); show(index); }

  play.addEventListener("click", () => {
    if (timer === null && current === last) show(0);
    running(timer === null);
  });
  slider.addEventListener("input", () => go(Number(slider.value)));
  document.addEventListener("keydown", (event) => {
    const target = { ArrowLeft: current - 1, ArrowRight: current + 1, Home: 0, End: last }[event.key];
    if (target === undefined || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    go(target);
  });
  if (plot) {
    plot.addEventListener("click", (event) => {
      const box = plot.getBoundingClientRect();
      const x = (event.clientX - box.left) / box.width * 100;
      const far = marks.map((mark) => Math.abs(mark.x - x));
      go(far.indexOf(Math.min(...far)));
    });
  }
  show(0);

  // Inside a notebook's frame: at its left as other outputs are, and as high as the page needs.
  if (window.self !== window.top) document.querySelector("main").style.marginLeft = 0;
  function fit() {
    try {
      if (window.frameElement) window.frameElement.style.height = document.documentElement.offsetHeight + "px";
    } catch { /* a frame of another origin keeps the height it has */ }
  }
  window.addEventListener("load", fit);
  window.addEventListener("resize", fit);
})();
</script>
</body>
</html>
"""
)

CURVES = Template(
    """<figure>
<figcaption>Losses: <span class="key D">discriminator D</span> <span class="key G">generator G</span></figcaption>
<div id="plot"><svg viewBox="0 0 100 100" preserveAspectRatio="none" aria-hidden="true">$paths</svg>$ticks
<i class="now"></i>$dots</div>
<p class="axis"><span>0</span><span>real images seen, in thousands (kimg)</span><span>$end</span></p>
</figure>"""
)
