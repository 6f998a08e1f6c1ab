const THEMES = ['auto', 'light', 'dark'] as const;

type Theme = (typeof THEMES)[number];

const NAMES: Readonly<Record<Theme, string>> = { auto: 'System', light: 'Light', dark: 'Dark' };
const STORED = 'belfry-demo-theme';

/** The button that goes through the themes; the page and its bells follow. */
export function offerThemes(button: HTMLElement, bells: readonly Element[]): void {
  const show = (theme: Theme): void => {
    document.documentElement.dataset['theme'] = theme;
    for (const bell of bells) bell.setAttribute('theme', theme);
    const name = button.querySelector('b');
    if (name !== null) name.textContent = NAMES[theme];
    button.setAttribute('aria-label', `Theme: ${NAMES[theme]}`);
  };
  let theme = THEMES.find(name => name === localStorage.getItem(STORED)) ?? 'auto';
  show(theme);
  button.addEventListener('click', () => {
    theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length] ?? 'auto';
    localStorage.setItem(STORED, theme);
    show(theme);
  });
}
