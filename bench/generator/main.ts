import { serve } from '../orders.js';
import { Generator } from './generator.js';
import type { Orders } from './protocol.js';

serve<Orders>(new Generator());
