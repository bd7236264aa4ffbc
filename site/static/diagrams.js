// Draws the diagrams in the colours that the reader prefers. Without it they stay text.
"use strict";
const dark = matchMedia("(prefers-color-scheme: dark)");
const diagrams = document.querySelectorAll("pre.mermaid");
const sources = new Map();
for (const diagram of diagrams) sources.set(diagram, diagram.textContent);

async function draw() {
  mermaid.initialize({ startOnLoad: false, securityLevel: "strict", theme: dark.matches ? "dark" : "neutral", flowchart: { wrappingWidth: 320 } });
  for (const diagram of diagrams) {
    diagram.textContent = sources.get(diagram);
    diagram.removeAttribute("data-processed");
  }
  await mermaid.run({ nodes: diagrams });
}

dark.addEventListener("change", draw);
draw();
