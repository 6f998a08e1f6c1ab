import { type Figure, figure } from './figure.js';

/** What the contenders' turns gave, round by round. A turn that failed, or was not taken, is not there. */
export class Rounds<Measured> {
  private readonly rounds: Map<string, Measured>[] = [];

  /** @param everybody by name, in the order of the table */
  constructor(private readonly everybody: readonly string[]) {}

  add(round: number, who: string, measured: Measured): void {
    (this.rounds[round] ??= new Map()).set(who, measured);
  }

  /** Who has taken a turn at all. */
  get names(): string[] {
    return this.everybody.filter(who => this.rounds.some(round => round.has(who)));
  }

  /** A quantity over the rounds. */
  figure(who: string, unit: string, quantity: (measured: Measured) => number): Figure {
    const turns = this.rounds.flatMap(round => round.get(who) ?? []);
    return figure(turns.map(quantity), unit);
  }

  /**
   * A ratio inside each round, over the rounds: what slows the machine down for a while then hits both sides. Empty
   * when there is no round in which both took their turn.
   */
  ratio(
    who: string,
    whose: string,
    quantity: (measured: Measured) => number,
    against: (measured: Measured) => number = quantity,
  ): Figure | undefined {
    const ratios = this.rounds.flatMap(round => {
      const mine = round.get(who);
      const theirs = round.get(whose);
      return mine === undefined || theirs === undefined ? [] : quantity(mine) / against(theirs);
    });
    return ratios.length === 0 ? undefined : figure(ratios, '×');
  }
}
