"use strict";
const audio = document.querySelector("audio"), lanes = document.getElementById("lanes"), track = document.getElementById("track");
const rows = [...document.querySelectorAll("tr[data-number]")];
const spans = rows.map(row => [Number(row.dataset.start), Number(row.dataset.stop)]);
const length = Number(track.dataset.seconds);
let playing = -1, zoom = 1;

function clock(seconds) {
  const whole = Math.floor(seconds), two = number => String(number).padStart(2, "0");
  return `${Math.floor(whole / 3600)}:${two(Math.floor(whole / 60) % 60)}:${two(whole % 60)}`;
}

function at(seconds) {  // the last segment that has started, if it has not ended
  let low = 0, high = spans.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (spans[middle][0] <= seconds) low = middle + 1; else high = middle;
  }
  return low > 0 && seconds < spans[low - 1][1] ? low - 1 : -1;
}

function mark(number, is) {
  document.querySelectorAll(`tr[data-number="${number}"], .bars button[data-number="${number}"]`)
    .forEach(each => each.classList.toggle("playing", is));
}

function show() {
  const seconds = audio.currentTime, number = at(seconds + 0.001);
  document.getElementById("time").textContent = clock(seconds);
  document.getElementById("cursor").style.left = `${100 * Math.min(seconds / length, 1)}%`;
  if (number !== playing) {
    mark(playing, false);
    mark(number, true);
    playing = number;
    document.getElementById("who").textContent = number < 0 ? "" : rows[number].cells[2].textContent;
  }
  const place = track.scrollWidth * seconds / length - lanes.scrollLeft;
  if (!audio.paused && zoom > 1 && (place < 0 || place > lanes.clientWidth)) lanes.scrollLeft += place - lanes.clientWidth / 10;
}

function drawMarks() {
  const most = track.clientWidth / 110, steps = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800];
  const step = steps.find(each => length <= each * most) || steps[steps.length - 1];
  document.getElementById("marks").replaceChildren(...Array.from({ length: Math.ceil(length / step) }, (_, number) => {
    const mark = document.createElement("span");
    mark.style.left = `${100 * number * step / length}%`;
    mark.textContent = clock(number * step);
    return mark;
  }));
}

function zoomTo(value) {
  zoom = Math.min(Math.max(value, 1), 512);
  track.style.setProperty("--zoom", zoom);
  drawMarks();
  lanes.scrollLeft = track.scrollWidth * audio.currentTime / length - lanes.clientWidth / 2;
}

document.addEventListener("click", event => {
  const button = event.target.closest("button[data-number]");
  if (!button) return;
  audio.currentTime = spans[Number(button.dataset.number)][0];
  show();
  audio.play().catch(() => {});
});
document.getElementById("in").addEventListener("click", () => zoomTo(2 * zoom));
document.getElementById("out").addEventListener("click", () => zoomTo(zoom / 2));
for (const name of ["timeupdate", "seeked", "play"]) audio.addEventListener(name, show);
audio.addEventListener("error", () => { document.getElementById("fault").hidden = false; });
if (audio.error) document.getElementById("fault").hidden = false;
window.addEventListener("resize", drawMarks);
drawMarks();
show();
