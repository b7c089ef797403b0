"use strict";
(() => {
  const gene = document.getElementById("gene");
  const show = () => {
    const at = Number(gene.value);
    const name = gene.options[gene.selectedIndex].text;
    for (const scale of document.querySelectorAll(".scale")) scale.hidden = Number(scale.dataset.gene) !== at;
    for (const image of document.querySelectorAll("img[data-maps]")) {
      const file = image.dataset.maps.split(" ")[at];
      image.hidden = file === "-";
      image.nextElementSibling.hidden = file !== "-";
      if (file === "-") image.removeAttribute("src");
      else if (image.getAttribute("src") !== file) image.src = file;
      image.alt = `${name} on ${image.dataset.slide}`;
    }
  };
  for (const told of document.querySelectorAll(".script")) told.hidden = false;
  if (gene) {
    gene.disabled = false;
    gene.addEventListener("change", show);
    show(); // a browser that comes back to the page keeps what was chosen
  }

  const order = new Intl.Collator("en", { numeric: true }).compare;
  for (const head of document.querySelectorAll("#slides thead th")) {
    head.querySelector("button").addEventListener("click", () => {
      const falls = head.ariaSort === "ascending";
      for (const other of head.parentElement.children) other.ariaSort = null;
      head.ariaSort = falls ? "descending" : "ascending";
      const body = head.closest("table").tBodies[0];
      const told = (row) => {
        const cell = row.children[head.cellIndex];
        return cell.dataset.v ?? cell.textContent.replace(/^–$/, "");
      };
      const numbers = head.classList.contains("number");
      const compare = (a, b) => {
        const [x, y] = [told(a), told(b)];
        if (x === "" || y === "") return (x === "") - (y === ""); // what is not known comes last
        return (numbers ? x - y : order(x, y)) * (falls ? -1 : 1);
      };
      body.append(...[...body.rows].sort(compare));
    });
  }
})();
