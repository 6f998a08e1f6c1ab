import { serve } from '../orders.js';
import { Load } from './load.js';
import type { Orders } from './protocol.js';

serve<Orders>(new Load());
