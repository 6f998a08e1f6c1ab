const LIGHT = `
  --_surface: var(--belfry-surface, #fff);
  --_raised: var(--belfry-raised, #f4f5f8);
  --_text: var(--belfry-text, #191c24);
  --_muted: var(--belfry-muted, #5a6070);
  --_line: var(--belfry-line, #e3e5eb);
  --_accent: var(--belfry-accent, #4353d6);
  --_on-accent: var(--belfry-on-accent, #fff);
  --_badge: var(--belfry-badge, #cf2a43);
  --_on-badge: var(--belfry-on-badge, #fff);
  --_warn: #8a4b00;
  --_warn-surface: #fdf1de;
  --_urgent: #b3152e;
  --_urgent-surface: #fdebed;
  --_unread: color-mix(in srgb, var(--_accent) 5%, var(--_surface));
  --_shadow: 0 0 0 1px rgb(20 24 40 / 6%), 0 4px 12px rgb(20 24 40 / 8%), 0 18px 48px rgb(20 24 40 / 16%);
  color-scheme: light;`;

const DARK = `
  --_surface: var(--belfry-surface, #1b1d24);
  --_raised: var(--belfry-raised, #282b35);
  --_text: var(--belfry-text, #eceef4);
  --_muted: var(--belfry-muted, #a5abba);
  --_line: var(--belfry-line, #313541);
  --_accent: var(--belfry-accent, #9daaff);
  --_on-accent: var(--belfry-on-accent, #14162a);
  --_badge: var(--belfry-badge, #ff6b7f);
  --_on-badge: var(--belfry-on-badge, #26060b);
  --_warn: #f4c27a;
  --_warn-surface: #37290f;
  --_urgent: #ff98a5;
  --_urgent-surface: #3c1a20;
  --_unread: color-mix(in srgb, var(--_accent) 7%, var(--_surface));
  --_shadow: 0 0 0 1px rgb(255 255 255 / 8%), 0 4px 12px rgb(0 0 0 / 30%), 0 18px 48px rgb(0 0 0 / 50%);
  color-scheme: dark;`;

/**
 * Custom properties named `--belfry-*` are the page's to set; those with an underscore are not. Everything is placed
 * by logical properties, so that it turns around with the direction of the page. The bell itself has the colour of the
 * text around it: it stands on the page's own surface, which may not be dark where the system is.
 */
const STYLE = `
:host { display: inline-block; ${LIGHT}
  font: 400 0.875rem/1.45 var(--belfry-font, system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif);
  text-align: start; }
:host([hidden]) { display: none; }
@media (prefers-color-scheme: dark) { :host(:not([theme=light])) { ${DARK} } }
:host([theme=dark]) { ${DARK} }
* { box-sizing: border-box; margin: 0; }
[hidden] { display: none !important; }
button, a { font: inherit; color: inherit; text-align: inherit; }
button { border: 0; padding: 0; background: none; cursor: pointer; -webkit-tap-highlight-color: transparent; }
a { text-decoration: none; }
svg { display: block; inline-size: 1.25em; block-size: 1.25em; fill: none; stroke: currentColor; stroke-width: 1.75;
  stroke-linecap: round; stroke-linejoin: round; flex: none; }
:focus-visible { outline: 2px solid var(--_accent); outline-offset: 2px; }
.hidden-text { position: absolute; inline-size: 1px; block-size: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }

.bell { position: relative; display: grid; place-items: center; inline-size: var(--belfry-size, 2.5rem);
  block-size: var(--belfry-size, 2.5rem); border-radius: 50%; color: var(--belfry-icon, inherit); transition: background 0.15s; }
.bell:focus-visible { outline-color: currentColor; }
.bell:hover, .bell[aria-expanded=true] { background: color-mix(in srgb, currentColor 9%, transparent); }
.bell svg { inline-size: 55%; block-size: 55%; }
.bell[data-offline] svg { opacity: 0.55; }
.badge { position: absolute; inset-block-start: -0.0625rem; inset-inline-start: 55%; min-inline-size: 1.25rem; padding: 0 0.3rem;
  border-radius: 1rem; background: var(--_badge); color: var(--_on-badge); font-size: 0.6875rem; font-weight: 700;
  line-height: 1.25rem; text-align: center; font-variant-numeric: tabular-nums; white-space: nowrap;
  box-shadow: 0 0 0 2px var(--belfry-ring, transparent); }
.bell[data-unseen] .badge { animation: pop 0.3s ease-out; }

.panel { position: fixed; inset: auto; z-index: 2147483000; display: flex; flex-direction: column; overflow: hidden;
  inline-size: min(var(--belfry-width, 26rem), calc(100vw - 16px)); block-size: var(--belfry-height, 38rem); padding: 0; border: 0; margin: 0;
  border-radius: var(--belfry-radius, 0.875rem); background: var(--_surface); color: var(--_text); box-shadow: var(--_shadow);
  animation: appear 0.16s ease-out; }
.panel:focus { outline: none; }
.panel [role=status] { flex: none; }
.header { display: flex; align-items: center; gap: 0.25rem; padding-block: 0.875rem 0.375rem; padding-inline: 1.125rem 0.75rem; }
h2 { flex: 1; font-size: 1.0625rem; font-weight: 650; letter-spacing: -0.01em; }
.text-button { padding: 0.375rem 0.5rem; border-radius: 0.5rem; color: var(--_accent); font-size: 0.8125rem; font-weight: 550; }
.text-button:hover { background: color-mix(in srgb, var(--_accent) 10%, transparent); }
.text-button[aria-disabled=true] { color: var(--_muted); cursor: default; background: none; }
.icon-button { display: grid; place-items: center; inline-size: 2rem; block-size: 2rem; border-radius: 0.5rem; color: var(--_muted); flex: none; }
.icon-button:hover, .icon-button[aria-expanded=true] { background: color-mix(in srgb, currentColor 12%, transparent); color: var(--_text); }
.tabs { display: flex; gap: 0.5rem; padding-inline: 0.75rem; border-block-end: 1px solid var(--_line); flex: none; }
.tabs button { position: relative; display: flex; align-items: center; gap: 0.375rem; padding: 0.5rem 0.375rem 0.625rem; color: var(--_muted); font-weight: 550; }
.tabs button:hover, .tabs [aria-selected=true] { color: var(--_text); }
.tabs [aria-selected=true]::after { content: ""; position: absolute; inset-inline: 0.375rem; inset-block-end: -1px; block-size: 2px;
  border-radius: 2px; background: var(--_accent); }
.tabs :focus-visible { outline-offset: -2px; border-radius: 0.375rem; }
.tab-count:empty { display: none; }
.tab-count { padding-inline: 0.4rem; border-radius: 1rem; background: var(--_raised); color: var(--_text); font-size: 0.75rem; font-variant-numeric: tabular-nums; }
.offline { display: flex; align-items: center; gap: 0.625rem; padding: 0.625rem 1.125rem; background: var(--_warn-surface); color: var(--_warn); font-size: 0.8125rem; }

.scroller { flex: 1; min-block-size: 0; overflow-y: auto; overscroll-behavior: contain; scrollbar-width: thin; }
.list { padding: 0; list-style: none; }
.row { position: relative; display: flex; gap: 0.75rem; padding: 0.75rem 1.125rem; border-block-end: 1px solid var(--_line);
  content-visibility: auto; contain-intrinsic-block-size: auto 5.25rem; }
.row[data-unread] { background: var(--_unread); }
.row:hover { background: var(--_raised); }
.unread-dot { position: absolute; inset-inline-start: 0.4375rem; inset-block-start: 1.6875rem; inline-size: 0.4375rem;
  block-size: 0.4375rem; border-radius: 50%; background: var(--_accent); visibility: hidden; }
[data-unread] .unread-dot { visibility: visible; }
.picture { display: grid; place-items: center; inline-size: 2.375rem; block-size: 2.375rem; border-radius: 50%; overflow: hidden;
  background: color-mix(in srgb, var(--_accent) 13%, var(--_surface)); color: var(--_accent); font-size: 1.125rem; flex: none; user-select: none; }
[data-priority=urgent] .picture { background: var(--_urgent-surface); color: var(--_urgent); }
.picture img { inline-size: 100%; block-size: 100%; object-fit: cover; }
.text { flex: 1; min-inline-size: 0; }
.main { display: block; inline-size: 100%; }
.main::after { content: ""; position: absolute; inset: 0; }
.main:focus-visible { outline: none; }
.main:focus-visible::after { outline: 2px solid var(--_accent); outline-offset: -3px; border-radius: 0.5rem; }
.title, .body { display: -webkit-box; -webkit-box-orient: vertical; -webkit-line-clamp: 2; overflow: hidden; overflow-wrap: anywhere;
  text-align: -webkit-match-parent; text-align: match-parent; }
.title { line-height: 1.35; }
[data-unread] .title, .toast .title { font-weight: 620; }
.body { margin-block-start: 0.125rem; color: var(--_muted); white-space: pre-line; font-size: 0.8125rem; }
[data-full] .title, [data-full] .body { -webkit-line-clamp: none; }
.meta { display: flex; align-items: center; gap: 0.5rem; margin-block-start: 0.25rem; color: var(--_muted); font-size: 0.75rem; }
.pill { padding-inline: 0.4rem; border-radius: 1rem; background: var(--_warn-surface); color: var(--_warn); font-weight: 600; font-size: 0.6875rem; }
[data-priority=urgent] .pill { background: var(--_urgent-surface); color: var(--_urgent); }
.actions { position: absolute; inset-block-end: 0.5rem; inset-inline-end: 0.75rem; display: flex; padding: 0.125rem; border-radius: 0.625rem;
  background: var(--_surface); box-shadow: 0 0 0 1px var(--_line), 0 2px 6px rgb(0 0 0 / 8%); opacity: 0; }
.actions .icon-button { inline-size: 1.875rem; block-size: 1.75rem; }
.row:hover .actions, .row:focus-within .actions, .actions:has([aria-expanded=true]) { opacity: 1; }
/* Nothing hovers there: they are always seen, in a line with the time. */
@media (hover: none) {
  .actions { inset-block-end: 0.75rem; padding: 0; background: none; box-shadow: none; opacity: 1; }
  .actions .icon-button { inline-size: 2.25rem; block-size: 2rem; }
  .row .meta { min-block-size: 2rem; padding-inline-end: 7rem; margin: 0; }
}

.menu { position: absolute; z-index: 2; inline-size: max-content; max-inline-size: calc(100% - 16px); padding: 0.3125rem; border-radius: 0.75rem; background: var(--_surface); box-shadow: var(--_shadow); animation: appear 0.12s ease-out; }
.menu button { display: flex; justify-content: space-between; gap: 1.75rem; inline-size: 100%; padding: 0.5rem 0.625rem; border-radius: 0.5rem; }
.menu button:hover, .menu button:focus { background: var(--_raised); outline-offset: -2px; }
.when { color: var(--_muted); font-variant-numeric: tabular-nums; }

.placeholder { display: flex; flex-direction: column; }
.placeholder:has(.figure) { align-items: center; justify-content: center; gap: 1rem; block-size: 100%; padding: 2rem; }
.figure { display: grid; justify-items: center; gap: 0.25rem; max-inline-size: 17rem; color: var(--_muted); text-align: center; }
.figure svg { inline-size: 3.5rem; block-size: 3.5rem; padding: 0.9375rem; margin-block-end: 0.625rem; border-radius: 50%; background: var(--_raised); color: var(--_muted); }
.figure-title { color: var(--_text); font-size: 0.9375rem; font-weight: 600; }
.button { padding: 0.5rem 1rem; border-radius: 0.625rem; background: var(--_accent); color: var(--_on-accent); font-weight: 600; }
.skeleton { display: grid; grid-template-columns: 2.375rem 1fr; gap: 0.5rem 0.75rem; padding: 0.875rem 1.125rem; border-block-end: 1px solid var(--_line); }
.skeleton > * { border-radius: 1rem; background: var(--_raised); animation: breathe 1.4s ease-in-out infinite alternate; }
.skeleton i { grid-row: span 2; block-size: 2.375rem; }
.skeleton b { block-size: 0.75rem; inline-size: 70%; }
.skeleton u { block-size: 0.625rem; inline-size: 45%; }
.more { display: grid; place-items: center; min-block-size: 3.5rem; color: var(--_muted); font-size: 0.8125rem; }
.spinner { inline-size: 1.25rem; block-size: 1.25rem; border: 2px solid var(--_line); border-block-start-color: var(--_accent); border-radius: 50%; animation: turn 0.8s linear infinite; }
.spinner:has(+ :not([hidden])) { display: none; }
.notice { display: flex; align-items: center; justify-content: space-between; gap: 1rem; margin: 0.625rem; padding-block: 0.5rem; padding-inline: 1rem 0.5rem;
  border-radius: 0.75rem; background: var(--_raised); font-size: 0.8125rem; animation: appear 0.16s ease-out; }

.toasts { position: fixed; inset: auto; inset-block-end: 1rem; inset-inline-end: 1rem; z-index: 2147483001; display: flex; flex-direction: column; gap: 0.625rem;
  inline-size: min(23rem, calc(100vw - 2rem)); padding: 0; border: 0; margin: 0; background: none; color: inherit; overflow: visible; pointer-events: none; }
:host([toast-placement$=start]) .toasts { inset-inline: 1rem auto; }
:host([toast-placement^=top]) .toasts { inset-block: 1rem auto; }
.toast { position: relative; display: flex; gap: 0.75rem; padding: 0.875rem; border-radius: var(--belfry-radius, 0.875rem); background: var(--_surface);
  color: var(--_text); box-shadow: var(--_shadow); pointer-events: auto; animation: arrive 0.28s cubic-bezier(0.2, 0.9, 0.3, 1.1); }
.toast .icon-button { position: relative; z-index: 1; margin: -0.25rem; }

@keyframes appear { from { opacity: 0; transform: translateY(-4px); } }
@keyframes arrive { from { opacity: 0; transform: translateY(12px) scale(0.98); } }
@keyframes pop { 50% { transform: scale(1.25); } }
@keyframes breathe { to { opacity: 0.45; } }
@keyframes turn { to { transform: rotate(1turn); } }
@media (prefers-reduced-motion: reduce) { *, ::after { animation: none !important; transition: none !important; } }
@media (forced-colors: active) {
  .badge, .panel, .toast, .menu { border: 1px solid CanvasText; }
  .unread-dot, .tabs [aria-selected=true]::after { background: Highlight; }
}
`;

const sheets = new WeakMap<Document, CSSStyleSheet>();

/** Gives a bell its style, which all bells of a document share. No `<style>`: a strict CSP forbids those. */
export function dress(bell: HTMLElement): void {
  const { ownerDocument, shadowRoot } = bell;
  const { defaultView } = ownerDocument;
  if (shadowRoot === null || defaultView === null) return;
  let sheet = sheets.get(ownerDocument);
  if (sheet === undefined) {
    // Of the document's own window: a sheet is good in no other.
    sheet = new defaultView.CSSStyleSheet();
    sheet.replaceSync(STYLE);
    sheets.set(ownerDocument, sheet);
  }
  shadowRoot.adoptedStyleSheets = [sheet];
}
