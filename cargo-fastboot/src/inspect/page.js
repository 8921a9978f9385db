// Shows what a part of the map is, beside the pointer.
const tip = document.getElementById("tip");
const map = document.querySelector(".map");
map?.addEventListener("pointermove", (event) => {
  const part = event.target.closest("[data-tip]");
  tip.hidden = !part;
  if (!part) return;
  tip.textContent = part.dataset.tip;
  const { offsetWidth: width, offsetHeight: height } = tip;
  const beside = (at, size, space) => (at + 14 + size < space ? at + 14 : Math.max(0, at - 14 - size));
  tip.style.left = `${beside(event.clientX, width, innerWidth)}px`;
  tip.style.top = `${beside(event.clientY, height, innerHeight)}px`;
});
map?.addEventListener("pointerleave", () => { tip.hidden = true; });
