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

// What went wrong is read first.
document.addEventListener("DOMContentLoaded", () => document.getElementById("errors")?.focus())
