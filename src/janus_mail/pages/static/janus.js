// What the pages need beside htmx. They work without either.

// Times are shown in the zone of whoever looks: told to the server once, before anything is drawn.
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone
const shown = document.documentElement.dataset.zone
const told = `janus_zone=${encodeURIComponent(zone)}`
if (shown && zone && zone !== shown && !document.cookie.split("; ").includes(told)) {
  document.cookie = `${told}; path=/; max-age=31536000; samesite=lax`
  if (document.cookie.split("; ").includes(told)) location.reload()
}

// Whether someone is using this part of the page: the focus is in it, something is opened, or text of it is selected.
function inUse(part) {
  const selection = getSelection()
  return (
    part.contains(document.activeElement) ||
    part.querySelector("details[open]") !== null ||
    (!selection.isCollapsed && part.contains(selection.anchorNode))
  )
}

// A live update leaves alone what is in use, and says again nothing that it has said.
document.addEventListener("htmx:oobBeforeSwap", (event) => {
  const { target, fragment } = event.detail
  if (inUse(target)) event.detail.shouldSwap = false
  if (target.id === "said" && target.textContent === fragment.textContent) event.detail.shouldSwap = false
})

// The address of a filtered list names only what filters.
document.addEventListener("htmx:configRequest", (event) => {
  const { verb, formData } = event.detail
  if (verb === "get") [...formData].forEach(([name, value]) => value || formData.delete(name))
})

// Escape closes what was opened over the page, and gives the focus back to what opened it.
document.addEventListener("keydown", (event) => {
  const opened = event.key === "Escape" && [...document.querySelectorAll(".confirm[open], .who[open]")].pop()
  if (!opened) return
  opened.open = false
  opened.querySelector("summary").focus()
})

// Nobody looks: nothing is asked.
document.addEventListener("htmx:beforeRequest", (event) => {
  if (document.hidden && event.detail.elt.matches("#live, .pulse")) event.preventDefault()
})

// Where the menu is one row, the page one is on is in sight.
document.addEventListener("DOMContentLoaded", () => {
  document.querySelector(".nav [aria-current]")?.scrollIntoView({ block: "nearest", inline: "nearest", behavior: "instant" })
})

// What went wrong is read first.
document.addEventListener("DOMContentLoaded", () => document.getElementById("errors")?.focus())

// A known service fills in what it is reached by; what somebody typed over an earlier one goes with it.
document.addEventListener("change", ({ target }) => {
  if (!target.dataset?.fills) return
  const fills = JSON.parse(target.dataset.fills)
  const names = new Set(Object.values(fills).flatMap(Object.keys))
  const chosen = fills[target.value] ?? {}
  for (const name of names) {
    const field = document.getElementById(`config.${name}`)
    const filled = Object.values(fills).map((one) => String(one[name] ?? ""))
    if (field && (name in chosen || filled.includes(field.value))) {
      field.value = chosen[name] ?? (field.tagName === "SELECT" ? field.value : "")
    }
  }
})

// The address of a hook is long; where it cannot be copied by a click it can be by hand.
document.addEventListener("DOMContentLoaded", () => {
  document.querySelectorAll("[data-copies]").forEach((button) => {
    button.hidden = !navigator.clipboard
    button.addEventListener("click", async () => {
      const copied = document.getElementById(button.dataset.copies)
      await navigator.clipboard.writeText(copied.value ?? copied.textContent)
      button.textContent = "Copied"
    })
  })
})

// The route is put in order by dragging a place; dropped, the whole order is sent. The arrows do the same by keyboard.
document.addEventListener("DOMContentLoaded", () => {
  const route = document.querySelector("ol[data-order]")
  if (!route || route.children.length < 2) return
  let dragged = null
  let before = []
  const order = () => [...route.children].map((item) => item.dataset.id)
  route.querySelectorAll(".place").forEach((place) => (place.draggable = true))
  route.addEventListener("dragstart", (event) => {
    if (!event.target.matches?.(".place")) return
    dragged = event.target.closest("li")
    before = [...route.children]
    event.dataTransfer.effectAllowed = "move"
    event.dataTransfer.setData("text/plain", dragged.querySelector("h2").textContent)
    event.dataTransfer.setDragImage(dragged, 0, 0)
    dragged.classList.add("dragged")
  })
  route.addEventListener("dragover", (event) => {
    const over = dragged && event.target.closest("li.provider")
    if (!dragged) return
    event.preventDefault()
    if (!over || over === dragged) return
    const box = over.getBoundingClientRect()
    route.insertBefore(dragged, event.clientY < box.top + box.height / 2 ? over : over.nextSibling)
  })
  route.addEventListener("drop", (event) => {
    if (!dragged) return
    event.preventDefault()
    if (order().join() === before.map((item) => item.dataset.id).join()) return
    const form = document.getElementById(route.dataset.order)
    form.elements.order.value = order().join()
    form.submit()
    before = []
  })
  route.addEventListener("dragend", () => {
    dragged?.classList.remove("dragged")
    before.forEach((item) => route.append(item)) // not dropped here: as it was
    dragged = null
  })
})

// A file leaves the browser only when the form is sent: until then what will happen is told from its size and name.
document.addEventListener("htmx:configRequest", ({ detail: { formData } }) => {
  for (const [name, value] of [...formData]) {
    if (!(value instanceof File)) continue
    formData.delete(name)
    document.querySelectorAll(`input[type=file][name=${name}]`).forEach((input) => {
      for (const file of input.files) formData.append(name, `${file.size} ${file.name}`)
    })
  }
})
