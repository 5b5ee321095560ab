// The status page follows the call without reloading. Without this script the page reloads itself.
"use strict";
(() => {
  const live = document.getElementById("live");
  const texts = document.getElementById("texts");
  if (!live || !texts || !window.EventSource) {
    setTimeout(() => location.reload(), 2000);
    return;
  }
  const show = (stage) => {
    const text = texts.content.querySelector(`[data-stage="${CSS.escape(stage)}"]`);
    if (!text) return;
    document.getElementById("headline").textContent = text.dataset.headline;
    document.getElementById("instruction").textContent = text.textContent;
    document.title = text.dataset.headline;
    const at = Number(text.dataset.step);
    for (const step of document.querySelectorAll("[data-step]")) {
      const place = Number(step.dataset.step);
      step.className = place < at ? "past" : place === at ? "current" : "next";
      if (place === at) step.setAttribute("aria-current", "step");
      else step.removeAttribute("aria-current");
    }
  };
  const source = new EventSource(`${live.dataset.events}?after=${live.dataset.seen}`);
  for (const stage of ["dialing", "ringing", "early_media", "answered", "prompting"]) {
    source.addEventListener(stage, () => show(stage));
  }
  for (const end of ["approved", "delivered", "denied", "expired", "failed", "blocked", "canceled"]) {
    source.addEventListener(end, () => { source.close(); location.reload(); });
  }
  let faults = 0;
  source.onopen = () => { faults = 0; };
  source.onerror = () => { if (++faults > 3 || source.readyState === EventSource.CLOSED) location.reload(); };
})();
