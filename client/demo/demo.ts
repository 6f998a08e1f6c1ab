import '../src/bell/define.js';
import { Person, type Profile } from './person.js';
import { SendForm } from './send.form.js';
import { offerThemes } from './theme.js';

const PROFILES: readonly Profile[] = [
  { sub: 'ada', name: 'Ada', roles: ['design', 'engineering'] },
  { sub: 'grace', name: 'Grace', roles: ['engineering'] },
];

function byId<T extends HTMLElement>(id: string, type: new () => T): T {
  const found = document.getElementById(id);
  if (!(found instanceof type)) throw new Error(`The page has no #${id}.`);
  return found;
}

const template = byId('person', HTMLTemplateElement);
const people = PROFILES.map(profile => new Person(profile, template));
byId('people', HTMLElement).append(...people.map(person => person.element));

// Two bells on one page: their toasts have a corner each, or an edge each where it is narrow.
const narrow = matchMedia('(max-width: 52rem)');
const placeToasts = (): void => {
  people[0]?.bell.setAttribute('toast-placement', 'top-start');
  people[1]?.bell.setAttribute('toast-placement', narrow.matches ? 'bottom-end' : 'top-end');
};
narrow.addEventListener('change', placeToasts);
placeToasts();

new SendForm(byId('send', HTMLFormElement), byId('outcome', HTMLElement), byId('request', HTMLElement));
offerThemes(
  byId('theme', HTMLElement),
  people.map(({ bell }) => bell),
);
