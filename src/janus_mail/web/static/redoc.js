const font = 'system-ui, "Segoe UI", Roboto, sans-serif';
Redoc.init(
  "openapi.json",
  {
    theme: {
      colors: { primary: { main: "#2450c0" } },
      typography: { fontFamily: font, headings: { fontFamily: font } },
    },
  },
  document.getElementById("redoc"),
);
